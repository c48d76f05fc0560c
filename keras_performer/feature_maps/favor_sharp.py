"""FAVOR#: FAVOR++ after a rescaling of each coordinate (SADERF)."""

import keras
from keras import ops

from keras_performer.feature_maps.dense_exponential import invertible, scaled
from keras_performer.feature_maps.favor_plus_plus import FavorPlusPlus
from keras_performer.feature_maps.moments import Moments


@keras.saving.register_keras_serializable(package="keras_performer")
class FavorSharp(FavorPlusPlus):
    """Simplified asymmetric dense-exponential features (SADERF of FAVOR#).

    `FavorPlusPlus` of `Ψ x` and `Ψ⁻¹ y` with `Ψ_d = (E[y_d²] / E[x_d²])^(1/4)`, which
    makes coordinates of queries and keys alike in size: the product, and so the kernel,
    is the same, the variance is smaller wherever they were not. The cheapest of the
    family of arXiv 2302.00787: no eigenvectors are computed.

    Example:

    >>> from keras_performer import feature_maps
    >>> feature_maps.get("favor_sharp")
    FavorSharp()
    """

    def adapted_parameters(self, moments):
        moments = Moments(*map(ops.convert_to_tensor, moments))
        _, x_square, _, y_square = scaled(moments)
        x, y = (
            ops.diagonal(invertible(square), axis1=-2, axis2=-1)
            for square in (x_square, y_square)
        )
        factor = ops.power(y / x, 0.25)  # (Hk, D)
        to_query, to_key = factor[:, None], 1 / factor[:, None]
        rescaled = Moments(
            moments.query_mean * factor,
            moments.query_square * to_query * ops.swapaxes(to_query, -1, -2),
            moments.key_mean / factor,
            moments.key_square * to_key * ops.swapaxes(to_key, -1, -2),
        )
        identity = ops.eye(factor.shape[-1])
        return {
            **super().adapted_parameters(rescaled),
            "query_transform": identity * to_query,
            "key_transform": identity * to_key,
        }
