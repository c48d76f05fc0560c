"""Generalised attention: an elementwise function as feature map."""

import keras
from keras import ops

from keras_performer.feature_maps.feature_map import FeatureMap, project


@keras.saving.register_keras_serializable(package="keras_performer")
class Generalized(FeatureMap):
    """Generalised attention: `φ(x) = f(x) + ε`, or `f(ω·x) + ε` for rows ω.

    A kernel of its own, no estimator of softmax. With `f = relu` it is the form that
    arXiv 2009.14794 found best on proteins and calls Performer-ReLU: no projection, no
    scaling by D, `ε = 1e-3`. The constant keeps every row's sum of kernels positive;
    padding is still exactly absent, as masks act after the map.

    Args:
        activation: Name of a Keras activation, or a callable.
        epsilon: The constant ε, not negative.
        projected: Whether the layer draws a projection, whose rows are applied first.

    Raises:
        ValueError: If `epsilon` is negative, or the activation is unknown.

    Example:

    >>> from keras_performer import feature_maps
    >>> feature_maps.get("relu") == Generalized("relu", epsilon=1e-3)
    True
    """

    def __init__(self, activation="relu", epsilon=1e-3, projected=False):
        if epsilon < 0:
            raise ValueError(
                "`epsilon` must not be negative: kernels would be. Received: "
                f"epsilon={epsilon}"
            )
        self.activation = keras.activations.get(activation)
        self.epsilon = epsilon
        self.draws_projection = projected

    def size(self, head_dim, parameters):
        if self.draws_projection:
            return parameters["projection"].shape[-2]
        return head_dim

    def queries(self, x, parameters):
        return self._features(x, parameters)

    def keys(self, x, parameters):
        return self._features(x, parameters)

    def _features(self, x, parameters):
        if self.draws_projection:
            x = project(x, parameters["projection"])
        return self.activation(x) + self.epsilon, ops.zeros_like(x[..., 0])

    def get_config(self):
        return {
            "activation": keras.activations.serialize(self.activation),
            "epsilon": self.epsilon,
            "projected": self.draws_projection,
        }


@keras.saving.register_keras_serializable(package="keras_performer")
def absolute(x):
    """The absolute value, as an activation."""
    return ops.abs(x)


@keras.saving.register_keras_serializable(package="keras_performer")
def bounded_exp(x):
    """The exponential of what is at most 40, so that sums of products stay finite."""
    return ops.exp(ops.minimum(x, 40.0))
