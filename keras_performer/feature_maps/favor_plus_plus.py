"""FAVOR++: positive features whose shape suits the data."""

import keras
from keras import ops

from keras_performer.feature_maps.dense_exponential import (
    DenseExponential,
    best_curvature,
    scaled,
)


@keras.saving.register_keras_serializable(package="keras_performer")
class FavorPlusPlus(DenseExponential):
    """Optimal positive random features (FAVOR++, arXiv 2205.15317).

    With `x = q / D^(1/4)` and rows ω of the projection,

    `φ(x) = (1 − 4A)^(D/4) / √M · exp(A ‖ω‖² + √(1 − 4A) ω·x − ‖x‖²/2)`,

    unbiased and positive, and bounded where `A < 0`. One A for each head minimises the
    mean log variance at the observed `E‖x + y‖²`. For independent rows the mean squared
    error is
    `[(1−4A)^D (1−8A)^(−D/2) exp(2 (1−4A)/(1−8A) ‖x+y‖² − ‖x‖² − ‖y‖²) − SM²] / M`.

    The moments are gathered in training, or by `calibration.adapt`; until then the map
    is FAVOR+.

    Example:

    >>> from keras_performer import feature_maps
    >>> feature_maps.get("favor_plus_plus").adapts
    True
    """

    def adapted_parameters(self, moments):
        x_mean, x_square, y_mean, y_square = scaled(moments)
        trace = ops.trace(x_square + y_square, axis1=-2, axis2=-1)
        spread = trace + 2 * ops.sum(x_mean * y_mean, axis=-1)
        dim = x_mean.shape[-1]
        curvature = best_curvature(spread / dim)
        return {"curvature": ops.tile(curvature[:, None], (1, dim))}
