"""The weights of a feature map: drawn, resampled and adapted for a layer."""

import random

from keras import ops

from keras_performer.feature_maps import Moments

# Of the moments' moving average, for each training step.
_MOMENTUM = 0.99


class FeatureWeights:
    """Keeps the parameters of a feature map as weights of a layer.

    They are made once, in the layer's `build`, and change in three ways alone: the
    random ones by `redraw`, the data-dependent ones by `gather` (in training) or
    `adapt`, the trainable ones by the optimizer. In inference nothing changes.

    Args:
        layer: The `keras.layers.Layer` that is being built.
        feature_map: A `keras_performer.feature_maps.FeatureMap`.
        draw: Function of a seed that returns the map's random parameters.
        num_heads: Hk, the number of heads of keys.
        head_dim: D.
        seed: Integer, or `None` for one drawn from Keras's global seed.
    """

    def __init__(self, layer, feature_map, draw, num_heads, head_dim, seed):
        self._feature_map = feature_map
        self._draw = draw
        seed = random.randrange(2**31) if seed is None else seed
        drawn = draw(seed)
        values = feature_map.initial_parameters(num_heads, head_dim, drawn)
        self._weights = {
            name: _add_weight(layer, name, value, feature_map.trainable)
            for name, value in values.items()
        }
        if feature_map.adapts:
            self._make_moments(layer, num_heads, head_dim)

    def tensors(self, dtype):
        """The map's parameters, as a dictionary of tensors."""
        tensors = {name: ops.cast(w, dtype) for name, w in self._weights.items()}
        if self._feature_map.adapts:
            # PyTorch assigns in place, and `gather` does so before the backward pass,
            # which computes the features again and needs these values for it.
            tensors = {name: ops.copy(x) for name, x in tensors.items()}
        return tensors

    def redraw(self, seed):
        """Resamples the random parameters."""
        for name, value in self._draw(seed).items():
            self._weights[name].assign(value)

    def gather(self, moments):
        """Takes a batch's moments into their moving average, and adapts to it.

        Args:
            moments: `keras_performer.feature_maps.Moments`.
        """
        for average, new in zip(self._moments, moments, strict=True):
            new = ops.stop_gradient(new)  # nor through what adapts: eigenvectors, say
            average.assign(average * _MOMENTUM + new * (1 - _MOMENTUM))
        gathered = self._gathered
        gathered.assign(gathered * _MOMENTUM + (1 - _MOMENTUM))
        self._adapt(Moments(*(average / gathered for average in self._moments)))

    def adapt(self, moments):
        """Adapts to given moments, which replace what was gathered.

        Args:
            moments: `keras_performer.feature_maps.Moments`.
        """
        for average, new in zip(self._moments, moments, strict=True):
            average.assign(new)
        self._gathered.assign(1.0)
        self._adapt(moments)

    def _adapt(self, moments):
        for name, value in self._feature_map.adapted_parameters(moments).items():
            self._weights[name].assign(value)

    def _make_moments(self, layer, num_heads, head_dim):
        mean, square = (num_heads, head_dim), (num_heads, head_dim, head_dim)
        shapes = Moments(mean, square, mean, square)
        self._moments = Moments(
            *(_add_average(layer, *field) for field in shapes._asdict().items())
        )
        # How much of the averages is data: they start at zero, and are divided by it.
        self._gathered = _add_average(layer, "gathered", ())


def _add_weight(layer, name, value, trainable):
    return layer.add_weight(
        name=name,
        shape=value.shape,
        initializer=lambda shape, dtype: ops.convert_to_tensor(value, dtype),
        trainable=trainable,
        dtype="float32",
        autocast=False,
        aggregation="only_first_replica",
    )


def _add_average(layer, name, shape):
    return layer.add_weight(
        name=name,
        shape=shape,
        initializer="zeros",
        trainable=False,
        dtype="float32",
        autocast=False,
        aggregation="mean",
    )
