"""What projections are made of: random streams, Haar blocks, norms.

Everything is drawn with NumPy's Philox generator on the host, so that one seed gives
the same projection on every backend, device and replica. Directions and norms come
from independent streams.
"""

import numpy as np


def streams(seed):
    """Returns two independent generators, the one of directions and the one of norms.

    Args:
        seed: Non-negative integer, or a sequence of them such as `(seed, step)`.

    Raises:
        ValueError: If the seed is negative.
    """
    return tuple(
        np.random.Generator(np.random.Philox(sequence))
        for sequence in np.random.SeedSequence(seed).spawn(2)
    )


def check_shape(num_features, head_dim):
    """Raises a `ValueError` unless both are positive integers."""
    for name, size in (("num_features", num_features), ("head_dim", head_dim)):
        if not isinstance(size, (int, np.integer)) or size <= 0:
            raise ValueError(
                f"`{name}` must be a positive integer. Received: {name}={size!r}"
            )


def count_blocks(num_features, head_dim):
    """How many blocks of D rows hold M rows; the last of them may be cut."""
    return -(-num_features // head_dim)


def haar_blocks(directions, num_blocks, head_dim):
    """Independent matrices, uniform on the orthogonal group: (num_blocks, D, D).

    QR of normal matrices with the signs of R's diagonal fixed: without that the draw
    is not uniform.
    """
    normal = directions.standard_normal((num_blocks, head_dim, head_dim))
    q, r = np.linalg.qr(normal)
    signs = np.sign(np.diagonal(r, axis1=1, axis2=2))
    return np.swapaxes(q * signs[:, None, :], 1, 2)


def signed_permutation(directions, matrix):
    """The columns of a matrix, shuffled and each multiplied by a random sign."""
    size = matrix.shape[1]
    signs = directions.choice((-1.0, 1.0), size=size)
    return matrix[:, directions.permutation(size)] * signs


def with_normal_norms(seed, num_features, head_dim, blocks):
    """M rows of blocks of D directions each, with the norms of normal rows.

    Args:
        seed: Non-negative integer, or a sequence of them.
        num_features: M, the number of rows; the last block is cut to it.
        head_dim: D.
        blocks: Function `(generator, num_blocks, head_dim)` that returns matrices of
            shape (D, D) whose rows are of unit length.

    Returns:
        float32 array of shape (M, D).
    """
    directions, norms = streams(seed)
    check_shape(num_features, head_dim)
    number = count_blocks(num_features, head_dim)
    rows = np.concatenate(blocks(directions, number, head_dim))[:num_features]
    lengths = normal_norms(norms, num_features, head_dim)
    return (rows * lengths).astype("float32")


def normal_norms(norms, num_features, head_dim):
    """Norms of independent standard normal rows, of the law χ(D): (M, 1)."""
    return np.sqrt(norms.chisquare(head_dim, size=(num_features, 1)))
