"""Rows coupled as a simplex: the least error among couplings of directions alone."""

import math

from keras_performer.ops.projections.draws import haar_blocks, with_normal_norms


def simplex(seed, num_features, head_dim):
    """Rows towards the vertices of regular simplices, with the norms of normal rows.

    The directions of a block of D rows are the D vertices of a regular simplex about
    the origin, within a hyperplane, turned by a uniform orthogonal matrix Q:
    `√(D / (D − 1)) (I − 1 1ᵀ / D) Q`, so that any two have the cosine `−1 / (D − 1)`.
    They sum to zero, which cancels most of the error of first order. Every row alone is
    distributed as a normal row and positive features stay unbiased; no coupling of
    directions has less error with them, and the forward pass costs the same (arXiv
    2301.13856, which has the same simplex in other coordinates). Norms are drawn from
    the chi distribution with D degrees of freedom.

    The last block, of n < D rows where M is not a multiple of D, is a regular simplex
    of n vertices: n of D vertices would no longer sum to zero.

    Maps that are even in the rows, as `"hyperbolic"` and `"trigonometric"` are, have no
    error of odd order to cancel: choose `orthogonal` for those.

    Args:
        seed: Non-negative integer, or a sequence of them such as `(seed, step)`.
        num_features: M, the number of rows.
        head_dim: D, the length of a row.

    Returns:
        float32 array of shape (M, D).

    Raises:
        ValueError: If a size is no positive integer, or the seed is negative.

    Example:

    >>> import numpy as np
    >>> rows = simplex(seed=0, num_features=4, head_dim=4)
    >>> units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    >>> bool(np.allclose(units @ units.T, (4 * np.eye(4) - 1) / 3, atol=1e-6))
    True
    """

    def blocks(directions, number, size):
        *whole, last = haar_blocks(directions, number, size)
        last = last[: num_features - size * len(whole)]
        return [_vertices(block) for block in (*whole, last)]

    return with_normal_norms(seed, num_features, head_dim, blocks)


def _vertices(orthonormal_rows):
    count = len(orthonormal_rows)
    if count == 1:
        return orthonormal_rows
    centered = orthonormal_rows - orthonormal_rows.mean(axis=0)
    return centered * math.sqrt(count / (count - 1))
