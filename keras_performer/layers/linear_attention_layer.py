"""`LinearAttentionLayer`: the form of linear attention that a call asks for."""

from keras_performer.layers import attention_arguments as arguments
from keras_performer.layers.feature_map_layer import FeatureMapLayer
from keras_performer.ops import kernel_attention_scores, linear_attention


class LinearAttentionLayer(FeatureMapLayer):
    """Linear attention in one of its forms, with or without an exact window.

    A base class: `FastAttention` is the layer, with the arguments' meanings.

    Args:
        exact_window: As for `FastAttention`.
        **kwargs: Arguments of `FeatureMapLayer`.
    """

    def __init__(self, *, exact_window=None, **kwargs):
        super().__init__(**kwargs)
        arguments.check_optional_size("exact_window", exact_window)
        self._exact_window = exact_window
        # Another way to the same result: see `distribution.sequence_parallel`.
        self.attend = linear_attention

    @property
    def exact_window(self):
        return self._exact_window

    def build_features(self):
        super().build_features()
        self._window_log_weight = None
        if self._exact_window is not None:
            self._window_log_weight = self.add_weight(
                name="window_log_weight",
                shape=(self.num_heads,),
                initializer="zeros",
                dtype="float32",
                autocast=False,
            )

    def get_config(self):
        return {**super().get_config(), "exact_window": self._exact_window}

    def _attend(self, queries, keys, values, parameters, key_mask, segment_ids, causal):
        """Output (B', T, H, Dv) of folded heads, as `_heads` returns them."""
        return self.attend(
            queries,
            keys,
            values,
            self.feature_map,
            parameters,
            causal=causal,
            key_mask=key_mask,
            segment_ids=segment_ids,
            window_size=self._exact_window,
            window_log_weight=self._window_log_weight,
        )

    def _scores(self, queries, keys, parameters, visible):
        """The matrix (B', H, T, S) that `_attend` stands for."""
        return kernel_attention_scores(
            queries,
            keys,
            self.feature_map,
            parameters,
            visible,
            window_size=self._exact_window,
            window_log_weight=self._window_log_weight,
        )
