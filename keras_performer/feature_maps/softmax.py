"""FAVOR+: positive random features of the softmax kernel."""

import keras

from keras_performer.feature_maps.softmax_kernel import SoftmaxKernel, positive_features


@keras.saving.register_keras_serializable(package="keras_performer")
class Softmax(SoftmaxKernel):
    """Positive random features of the softmax kernel (FAVOR+).

    With `x = q / D^(1/4)` and rows ω of the projection,

    `φ(x) = exp(ω·x − ‖x‖²/2) / √M`,

    an unbiased estimator of `exp(q·k / √D)` that is never negative: lemma 1 of
    arXiv 2009.14794. Its mean squared error for independent rows is
    `exp(‖x+y‖²) SM² (1 − exp(−‖x+y‖²)) / M`; orthogonal rows lower it. No constant is
    added to the features: that would bias them and let padding through.

    Example:

    >>> from keras_performer import feature_maps
    >>> feature_maps.get("softmax")
    Softmax()
    """

    def features(self, logits, half_squared_norm):
        return positive_features(logits, half_squared_norm)
