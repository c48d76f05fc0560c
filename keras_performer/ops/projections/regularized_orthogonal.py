"""Orthogonal rows of one fixed norm: the regularized softmax kernel."""

import numpy as np

from keras_performer.ops.projections.draws import (
    check_shape,
    count_blocks,
    haar_blocks,
    streams,
)


def regularized_orthogonal(seed, num_features, head_dim):
    """Rows orthogonal in blocks of D, every norm fixed at the square root of D.

    The "SMREG" kernel of arXiv 2009.14794: a lower bound of the softmax kernel,
    biased by design and of lower variance than `orthogonal`.

    Args:
        seed: Non-negative integer, or a sequence of them such as `(seed, step)`.
        num_features: M, the number of rows.
        head_dim: D, the length of a row.

    Returns:
        float32 array of shape (M, D).

    Raises:
        ValueError: If a size is no positive integer, or the seed is negative.

    Example:

    >>> rows = regularized_orthogonal(seed=0, num_features=6, head_dim=4)
    >>> bool(np.allclose(np.linalg.norm(rows, axis=1), 2.0))
    True
    """
    directions, _ = streams(seed)
    check_shape(num_features, head_dim)
    num_blocks = count_blocks(num_features, head_dim)
    rows = np.concatenate(haar_blocks(directions, num_blocks, head_dim))
    return (rows[:num_features] * np.sqrt(head_dim)).astype("float32")
