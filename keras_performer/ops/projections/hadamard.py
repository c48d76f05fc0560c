"""Products of Hadamard and random sign matrices: a structured orthogonal projection."""

import numpy as np

from keras_performer.ops.projections.draws import (
    signed_permutation,
    with_normal_norms,
)


def hadamard(seed, num_features, head_dim):
    """Rows orthogonal in blocks of D, from Hadamard and sign matrices.

    A block's directions are `H Π₁ H Π₂ H Π₃`: H is the orthonormal Hadamard matrix and
    the Π are independent random signed permutation matrices. (Signs alone are usual,
    arXiv 1610.09072 and 1703.00864; the permutations are for other D than powers of
    two.) Norms are drawn from the chi distribution with D degrees of freedom.

    Hadamard matrices of Sylvester's kind exist for powers of two. For `D = 2ᵏ r` with r
    odd, H is the Kronecker product of the one of order 2ᵏ with the orthonormal discrete
    Hartley matrix of order r, `(cos θ + sin θ) / √r` at `θ = 2π i j / r`: also
    symmetric and orthogonal, without a zero, and of a fast algorithm. Padding to a
    power of two instead would lose the orthogonality when the rows are cut to D.

    The directions are not uniform. Their mean is zero and the covariance of a row is
    exactly I, yet a fourth moment is lower than a uniform direction's: for powers of
    two `E q₁⁴ = (3 − (6D − 4) / D²) / D²` instead of `3 / (D (D + 2))`, a share of
    about `8 / (3 D²)`, and less for other D. Estimates of the softmax kernel are biased
    by about `‖x + y‖⁴ / (3 D²)` of it at most: for D of 16 and more nothing beside
    their standard error. For less, choose `orthogonal`.

    Args:
        seed: Non-negative integer, or a sequence of them such as `(seed, step)`.
        num_features: M, the number of rows.
        head_dim: D, the length of a row.

    Returns:
        float32 array of shape (M, D).

    Raises:
        ValueError: If a size is no positive integer, or the seed is negative.

    Example:

    >>> rows = hadamard(seed=0, num_features=12, head_dim=12)
    >>> gram = rows @ rows.T
    >>> bool(abs(gram - np.diag(np.diag(gram))).max() < 1e-5)
    True
    """
    return with_normal_norms(seed, num_features, head_dim, _blocks)


def _blocks(directions, number, size):
    transform = _transform(size)
    return [_block(directions, transform) for _ in range(number)]


def _block(directions, transform):
    factors = [signed_permutation(directions, transform) for _ in range(3)]
    return factors[0] @ factors[1] @ factors[2]


def _transform(size):
    matrix = np.ones((1, 1))
    while size % 2 == 0:
        matrix = np.kron(matrix, [[1, 1], [1, -1]]) / np.sqrt(2)
        size //= 2
    positions = np.arange(size)
    angles = 2 * np.pi / size * (np.outer(positions, positions) % size)
    return np.kron(matrix, (np.cos(angles) + np.sin(angles)) / np.sqrt(size))
