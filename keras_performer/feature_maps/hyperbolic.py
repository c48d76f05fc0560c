"""Hyperbolic random features of the softmax kernel: positive, in pairs of ±ω."""

import keras
from keras import ops

from keras_performer.feature_maps.softmax_kernel import SoftmaxKernel, positive_features


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
        return positive_features(pair, half_squared_norm)
