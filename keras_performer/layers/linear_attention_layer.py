"""`LinearAttentionLayer`: what a layer does with heads of queries, keys and values."""

from keras_performer.layers import attention_arguments as arguments
from keras_performer.layers.feature_map_layer import FeatureMapLayer
from keras_performer.layers.sequence_arguments import check_sequences
from keras_performer.ops import (
    kernel_attention_scores,
    linear_attention,
    rotary,
    windowed_attention_scores,
)


class LinearAttentionLayer(FeatureMapLayer):
    """Rotary positions, and the form of attention that a call asks for.

    A base class: `FastAttention` is the layer, with the arguments' meanings.

    Args:
        rotary_base: As for `FastAttention`.
        exact_window: As for `FastAttention`.
        **kwargs: Arguments of `FeatureMapLayer`.
    """

    def __init__(self, *, rotary_base=None, exact_window=None, **kwargs):
        super().__init__(**kwargs)
        arguments.check_rotary_base(rotary_base, self.key_dim)
        arguments.check_optional_size("exact_window", exact_window)
        self._rotary_base = rotary_base
        self._exact_window = exact_window
        # Another way to the same result: see `distribution.sequence_parallel`.
        self.attend = linear_attention

    @property
    def rotary_base(self):
        return self._rotary_base

    @property
    def exact_window(self):
        return self._exact_window

    def compute_output_spec(
        self, query, value, *args, segment_ids=None, positions=None, **kwargs
    ):
        self.check_positions(query, value, segment_ids, positions)
        return super().compute_output_spec(query, value, *args, **kwargs)

    def check_positions(self, query, value, segment_ids, positions):
        """Raises a `ValueError` where a call's segments or positions do not fit."""
        check_sequences(query, value, segment_ids, positions)
        if positions is not None and self._rotary_base is None:
            raise ValueError(
                "`positions` are for rotary positions, which this layer has not: give "
                "it a `rotary_base`, or leave them out. Received: positions.shape="
                f"{tuple(positions.shape)}"
            )

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
        return {
            **super().get_config(),
            "rotary_base": self._rotary_base,
            "exact_window": self._exact_window,
        }

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
        if self._exact_window is None:
            return kernel_attention_scores(
                queries, keys, self.feature_map, parameters, visible
            )
        return windowed_attention_scores(
            queries,
            keys,
            self.feature_map,
            parameters,
            self._exact_window,
            self._window_log_weight,
            visible,
        )

    def _rotated(self, x, positions):
        """Heads (B', T, H, D) at their positions, which broadcast to (B', T)."""
        return rotary(x, positions, self._rotary_base)
