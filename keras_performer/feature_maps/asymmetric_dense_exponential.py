"""ADERF of FAVOR#: queries and keys brought to one covariance, then FAVOR++."""

import keras
from keras import ops

from keras_performer.feature_maps.dense_exponential import (
    DenseExponential,
    best_curvature,
    invertible,
    row_signs,
    scaled,
)


@keras.saving.register_keras_serializable(package="keras_performer")
class AsymmetricDenseExponential(DenseExponential):
    """Asymmetric dense-exponential random features (ADERF of arXiv 2302.00787).

    With `E[x xᵀ] = Q₁ Λ₁ Q₁ᵀ`, `E[y yᵀ] = Q₂ Λ₂ Q₂ᵀ` and
    `Λ₁^½ Q₁ᵀ Q₂ Λ₂^½ = U Σ Vᵀ`, the transforms `T = Σ^½ Uᵀ Λ₁^(−½) Q₁ᵀ` and
    `T′ = Σ^(−½) Uᵀ Λ₁^½ Q₁ᵀ` give both sides the second moment Σ and keep their
    product; the curvature is that of `FavorPlusPlus` for
    `t = (2/D) (tr Σ + E[x]·E[y])`. The least variance of the family on skewed data.

    Example:

    >>> from keras_performer import feature_maps
    >>> feature_maps.get("aderf")
    AsymmetricDenseExponential()
    """

    def adapted_parameters(self, moments):
        x_mean, x_square, y_mean, y_square = scaled(moments)
        x_root, x_inverse_root = _roots(invertible(x_square))
        y_root, _ = _roots(invertible(y_square))
        left, spread, _ = ops.linalg.svd(
            ops.matmul(x_root, ops.swapaxes(y_root, -1, -2))
        )
        left = ops.swapaxes(left, -1, -2)
        left = left * row_signs(ops.matmul(left, x_root))
        root = ops.sqrt(spread)[:, :, None]
        dim = x_mean.shape[-1]
        total = ops.sum(spread, axis=-1) + ops.sum(x_mean * y_mean, axis=-1)
        curvature = best_curvature(2 * total / dim)
        return {
            "curvature": ops.tile(curvature[:, None], (1, dim)),
            "query_transform": root * ops.matmul(left, x_inverse_root),
            "key_transform": ops.matmul(left, x_root) / root,
        }


def _roots(square):
    """`Λ^½ Qᵀ` and `Λ^(−½) Qᵀ` of `Q Λ Qᵀ`: (Hk, D, D) each."""
    variances, axes = ops.linalg.eigh(square)
    floor = 1e-7 * variances[:, -1:]  # rounding may leave the least below zero
    root = ops.sqrt(ops.maximum(variances, floor))[:, :, None]
    axes = ops.swapaxes(axes, -1, -2)
    return root * axes, axes / root
