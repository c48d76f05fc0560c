"""Hyperbolic random features of the softmax kernel: positive, in pairs of ±ω."""

import math

import keras
from keras import ops

from keras_performer.feature_maps.softmax_kernel import SoftmaxKernel, normalized_exp


@keras.saving.register_keras_serializable(package="keras_performer")
class Hyperbolic(SoftmaxKernel):
    """Positive random features of the softmax kernel, for each row and its opposite.

    With `x = q / D^(1/4)` and rows ω of the projection,

    `φ(x) = exp(−‖x‖²/2) / √(2M) · [exp(ω·x), exp(−ω·x)]`,

    unbiased and positive as `Softmax`, with twice as many features of the same
    projection. For independent rows its mean squared error is
    `(1 − exp(−‖x+y‖²)) / 2` times that of `Softmax` with M rows: section 3 of
    arXiv 2009.14794.

    Example:

    >>> from keras_performer import feature_maps
    >>> feature_maps.get("hyperbolic")
    Hyperbolic()
    """

    def size(self, head_dim, parameters):
        return 2 * super().size(head_dim, parameters)

    def features(self, logits, half_squared_norm):
        pair = ops.concatenate([logits, -logits], axis=-1)
        values, log_sum = normalized_exp(pair)
        log_weight = log_sum - half_squared_norm - 0.5 * math.log(2 * logits.shape[-1])
        return values, log_weight
