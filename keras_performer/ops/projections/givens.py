"""Products of random Givens rotations: a structured orthogonal projection."""

import math

import numpy as np

from keras_performer.ops.projections.draws import (
    signed_permutation,
    with_normal_norms,
)

# By this many a row's fourth moments are within about 0.1 % of a uniform one's.
_ROUNDS_PER_DOUBLING = 6


def givens(seed, num_features, head_dim):
    """Rows orthogonal in blocks of D, from random rotations of pairs of axes.

    A block starts as a random signed permutation matrix. In every round all axes, but
    one where D is odd, are paired at random, each with one partner, and each pair is
    turned by an angle uniform on the circle: `6 ⌈log₂ D⌉` rounds of `⌊D / 2⌋` Givens
    rotations (arXiv 2009.14794, appendix, has rotations of pairs one by one). Norms are
    drawn from the chi distribution with D degrees of freedom.

    The mean of a row is zero and its covariance exactly I, after any number of rounds.
    `E Σ qⱼ⁴` of a direction starts at 1 and nears the `3 / (D + 2)` of a uniform one,
    by the factor `3 (D − 2) / (4 (D − 1))` a round for even D and `(3 D − 2) / (4 D)`
    for odd D. What is left after the last round is a share of 0.1 % or less, and
    estimates of the softmax kernel are biased by no more than that share of
    `‖x + y‖⁴ / 8`. D = 1 and D = 2 are uniform.

    Args:
        seed: Non-negative integer, or a sequence of them such as `(seed, step)`.
        num_features: M, the number of rows.
        head_dim: D, the length of a row.

    Returns:
        float32 array of shape (M, D).

    Raises:
        ValueError: If a size is no positive integer, or the seed is negative.

    Example:

    >>> rows = givens(seed=0, num_features=7, head_dim=7)
    >>> gram = rows @ rows.T
    >>> bool(abs(gram - np.diag(np.diag(gram))).max() < 1e-5)
    True
    """
    return with_normal_norms(seed, num_features, head_dim, _blocks)


def _blocks(directions, number, size):
    return [_block(directions, size) for _ in range(number)]


def _block(directions, size):
    axes = signed_permutation(directions, np.eye(size))
    for _ in range(_ROUNDS_PER_DOUBLING * math.ceil(math.log2(size))):
        pairs = directions.permutation(size)[: size // 2 * 2].reshape(2, -1)
        angles = directions.uniform(0, 2 * np.pi, size=(size // 2, 1))
        cosines, sines = np.cos(angles), np.sin(angles)
        first, second = axes[pairs]
        axes[pairs[0]] = cosines * first - sines * second
        axes[pairs[1]] = sines * first + cosines * second
    return axes.T
