"""What the data-dependent positive maps share: FAVOR++ and the family of FAVOR#."""

import numpy as np
from keras import ops

from keras_performer.feature_maps.feature_map import project
from keras_performer.feature_maps.softmax_kernel import (
    SoftmaxKernel,
    half_squared_norm,
    per_head,
    positive_features,
)


class DenseExponential(SoftmaxKernel):
    """Base of the dense-exponential random features (arXiv 2302.00787).

    With `x = T q / D^(1/4)`, `y = T′ k / D^(1/4)`, matrices with `Tᵀ T′ = I`, and rows
    ω of the projection,

    `φ(x) = Π (1 − 4 A_d)^(1/4) / √M · exp(Σ A_d ω_d² + √(1 − 4 A_d) ω_d x_d − ‖x‖²/2)`,

    unbiased and positive for every `A_d ≤ 0`. A subclass says which T, T′ and A suit
    the moments of the queries and keys. Without any, `T = T′ = I` and `A = 0`, which is
    FAVOR+.
    """

    adapts = True

    def initial_parameters(self, num_heads, head_dim, drawn):
        identity = np.tile(np.eye(head_dim, dtype="float32"), (num_heads, 1, 1))
        return {
            **drawn,
            "query_transform": identity,  # (Hk, D, D)
            "key_transform": identity.copy(),
            "curvature": np.zeros((num_heads, head_dim), "float32"),
        }

    def queries(self, x, parameters):
        return self._features(x, parameters, parameters["query_transform"])

    def keys(self, x, parameters):
        return self._features(x, parameters, parameters["key_transform"])

    def features(self, logits, half_squared_norm):
        return positive_features(logits, half_squared_norm)

    def _features(self, x, parameters, transform):
        projection, curvature, transform = map(
            ops.convert_to_tensor,
            (parameters["projection"], parameters["curvature"], transform),
        )
        stretch = 1 - 4 * curvature  # (Hk, D)
        rows = (projection * ops.sqrt(stretch)[:, None]) @ transform
        bias = curvature @ ops.transpose(ops.square(projection))  # (Hk, M)
        log_determinant = 0.25 * ops.sum(ops.log(stretch), axis=-1)[:, None]
        logits = self.logits(x, {"projection": per_head(rows, x)})
        logits = logits + per_head(bias[:, None], x)
        norm = half_squared_norm(project(x, per_head(transform, x)))
        values, log_weight = self.features(logits, norm)
        return values, log_weight + per_head(log_determinant, x)


def scaled(moments):
    """Moments of `q / D^(1/4)` and `k / D^(1/4)`."""
    dim = moments.query_mean.shape[-1]
    factors = (dim**-0.25, dim**-0.5) * 2
    return type(moments)(
        *(ops.convert_to_tensor(x) * f for x, f in zip(moments, factors, strict=True))
    )


def invertible(square, ridge=1e-3):
    """A second moment, (Hk, D, D), with its least eigenvalues raised.

    The heads of trained models often use a few of their dimensions: the eigenvalues of
    their moments span six orders of magnitude, more than float32 can invert. A share
    `ridge` of the mean eigenvalue is added to each.
    """
    dim = square.shape[-1]
    size = ops.trace(square, axis1=-2, axis2=-1)[:, None, None] / dim
    return square + (ridge * size + 1e-30) * ops.eye(dim)


def best_curvature(spread):
    """The A of least variance for `E[(x + y)_d²] = spread`: equation 8 of FAVOR++.

    `A = (1 − 2 t − √((1 + 2 t)² + 8 t)) / 16`, zero at `t = 0` and negative above.
    """
    spread = ops.maximum(spread, 0.0)
    root = ops.sqrt(ops.square(1 + 2 * spread) + 8 * spread)
    return (1 - 2 * spread - root) / 16


def row_signs(rows):
    """Signs that make the sum of each row positive: (Hk, D, D) to (Hk, D, 1).

    Eigenvectors and singular vectors have the sign that the routine gives them: another
    one on each backend, and under a compiler. The features would differ with it.
    """
    return ops.where(ops.sum(rows, axis=-1, keepdims=True) < 0, -1.0, 1.0)
