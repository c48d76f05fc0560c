"""SDERF of FAVOR#: a curvature for each principal axis of query + key."""

import keras
from keras import ops

from keras_performer.feature_maps.dense_exponential import (
    DenseExponential,
    best_curvature,
    row_signs,
    scaled,
)


@keras.saving.register_keras_serializable(package="keras_performer")
class SymmetricDenseExponential(DenseExponential):
    """Symmetric dense-exponential random features (SDERF of arXiv 2302.00787).

    Queries and keys are turned to the principal axes of
    `E[(x + y)(x + y)ᵀ] = Q Λ Qᵀ`, and each axis has the curvature that suits its
    variance, where `FavorPlusPlus` has one for all. For data that is spread unevenly.

    Example:

    >>> from keras_performer import feature_maps
    >>> feature_maps.get("sderf")
    SymmetricDenseExponential()
    """

    def adapted_parameters(self, moments):
        x_mean, x_square, y_mean, y_square = scaled(moments)
        cross = x_mean[:, :, None] * y_mean[:, None]
        spread = x_square + y_square + cross + ops.swapaxes(cross, -1, -2)
        variances, axes = ops.linalg.eigh(spread)
        transform = ops.swapaxes(axes, -1, -2)
        transform = transform * row_signs(transform)
        return {
            "curvature": best_curvature(variances),
            "query_transform": transform,
            "key_transform": transform,
        }
