"""`FeatureMapLayer`: a multi-head layer whose attention is through a feature map."""

from keras_performer import feature_maps
from keras_performer.layers.attention_arguments import (
    check_optional_size,
    default_num_features,
)
from keras_performer.layers.feature_weights import FeatureWeights
from keras_performer.layers.rotary_layer import RotaryLayer
from keras_performer.ops import projections


class FeatureMapLayer(RotaryLayer):
    """The feature map of an attention layer, and the weights that it has.

    A base class: a subclass attends with `feature_map` and `feature_parameters`.

    Args:
        feature_map: As for `FastAttention`.
        num_features: As for `FastAttention`.
        projection: As for `FastAttention`.
        **kwargs: Arguments of `RotaryLayer`.
    """

    def __init__(
        self, *, feature_map, num_features=None, projection="orthogonal", **kwargs
    ):
        super().__init__(**kwargs)
        check_optional_size("num_features", num_features)
        self._feature_map = feature_maps.get(feature_map)
        if num_features is not None and not self._feature_map.draws_projection:
            raise ValueError(
                f"The feature map {self._feature_map!r} draws no projection, so "
                "`num_features` has no meaning for it: leave it out. Received: "
                f"num_features={num_features}"
            )
        self._num_features = num_features
        self._draw_projection = projections.get(projection)
        # Called with the heads of queries and keys: see `calibration.recorded`.
        self.probe = None

    @property
    def feature_map(self):
        return self._feature_map

    @property
    def num_features(self):
        """M, or `None` where the feature map draws no projection."""
        if not self._feature_map.draws_projection:
            return None
        return self._num_features or default_num_features(self._key_dim)

    @property
    def feature_parameters(self):
        """The tensors of the feature map, by name, in float32."""
        self._check_built("asking for its features")
        return self._feature_weights.tensors("float32")

    @property
    def redraws(self):
        """Whether the layer has a random projection that can be drawn anew."""
        return self._feature_map.draws_projection and not self._feature_map.trainable

    def build_features(self):
        """Makes the weights of the feature map."""
        self._feature_weights = FeatureWeights(
            self,
            self._feature_map,
            self._drawn,
            self._num_key_value_heads,
            self._key_dim,
            self.seed,
        )

    def adapt(self, moments):
        """Fits a feature map that adapts to the data; the kernel stays the same.

        `calibration.adapt` does this for the layers of a model.

        Args:
            moments: `keras_performer.feature_maps.Moments` of the layer's queries and
                keys.

        Raises:
            ValueError: If the layer is not built, or its feature map does not adapt.
        """
        self._check_built("adapting")
        if not self._feature_map.adapts:
            raise ValueError(
                f"The feature map {self._feature_map!r} of the layer {self.name!r} "
                "does not adapt to data; 'favor_sharp' and 'favor_plus_plus' do."
            )
        self._feature_weights.adapt(moments)

    def redraw_projection(self, seed):
        """Draws the projection anew; the kernel it estimates stays the same.

        Args:
            seed: Non-negative integer, or a sequence of them such as `(seed, step)`.

        Raises:
            ValueError: If the layer is not built, or has no random projection.
        """
        self._check_built("drawing anew")
        if not self.redraws:
            raise ValueError(
                f"The feature map {self._feature_map!r} of the layer {self.name!r} has "
                "no random projection that could be drawn anew."
            )
        self._feature_weights.redraw(seed)

    def get_config(self):
        return {
            **super().get_config(),
            "feature_map": feature_maps.serialize(self._feature_map),
            "num_features": self._num_features,
            "projection": projections.serialize(self._draw_projection),
        }

    def _check_built(self, what):
        if not self.built:
            raise ValueError(
                f"The layer {self.name!r} has no projection yet: build it, or call it "
                f"once, before {what}."
            )

    def _drawn(self, seed):
        return self._feature_map.draw(
            self._draw_projection, seed, self.num_features, self._key_dim
        )
