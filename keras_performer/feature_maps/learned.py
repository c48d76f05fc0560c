"""Learned features: FAVOR+ whose projections and biases are trained, head by head."""

import keras
import numpy as np

from keras_performer.feature_maps.softmax import Softmax
from keras_performer.feature_maps.softmax_kernel import per_head


@keras.saving.register_keras_serializable(package="keras_performer")
class Learned(Softmax):
    """Positive features with a trainable projection and bias for each head.

    `φ(x) = exp(ω·x + b − ‖x‖²/2) / √M`, at the start FAVOR+ with `b = 0`. It is no
    estimator of softmax any more once it is trained: it is the map for calibrating a
    layer against exact attention, and for training from scratch without resampling.

    Example:

    >>> from keras_performer import feature_maps
    >>> feature_maps.get("learned").trainable
    True
    """

    trainable = True

    def initial_parameters(self, num_heads, head_dim, drawn):
        projection = drawn["projection"]
        return {
            "projection": np.repeat(projection[None], num_heads, axis=0),  # (Hk, M, D)
            "bias": np.zeros((num_heads, len(projection)), "float32"),
        }

    def logits(self, x, parameters):
        projection = per_head(parameters["projection"], x)
        bias = per_head(parameters["bias"][:, None], x)
        return super().logits(x, {"projection": projection}) + bias
