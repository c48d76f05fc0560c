"""Queries, keys and values to run attention on."""

import numpy as np

from benchmarks.attention.peers.peer import HEAD_DIM, HEADS

KINDS = ("isotropic", "skewed")
# Queries and keys of this spread give attention that is not flat, and features beside
# which the constants that published code adds are small.
SPREAD = 0.3
# Standard deviations of skewed coordinates. A group of them is large in queries and
# keys, one in queries alone and one in keys alone: these add little to the products
# q·k, and much to the variance of features that are not fitted to them.
GROUP = 4
LARGE_IN_BOTH, LARGE_IN_ONE, SMALL = 1.0, 1.2, 0.1
# Means of skewed coordinates, in standard deviations.
MEAN_SPREAD = 0.3


def make_arrays(data, length, pass_name, sample=0):
    """Returns query, key and value, and for a backward pass the output's gradient.

    Args:
        data: `"isotropic"`: normal, all coordinates alike. `"skewed"`: normal, with a
            few large coordinates.
        length: T.
        pass_name: One of `peer.PASSES`.
        sample: Number of the sample: each is another draw of the same distribution.

    Returns:
        List of float32 arrays of shape (1, T, H, D).
    """
    generator = np.random.default_rng((length, sample))
    number = 3 if pass_name == "forward" else 4
    shape = (1, length, HEADS, HEAD_DIM)
    query, key, *others = (
        generator.standard_normal(shape, np.float32) for _ in range(number)
    )
    if data == "isotropic":
        query, key = query * np.float32(SPREAD), key * np.float32(SPREAD)
    else:
        query, key = skew(query, first=GROUP), skew(key, first=2 * GROUP)
    return [query, key, *others]


def skew(normal, first):
    """Gives coordinates sizes and means, the same at each call.

    Args:
        normal: Standard normal array of shape (1, T, H, D).
        first: The first of the coordinates that are large on this side alone.
    """
    sizes = np.full(HEAD_DIM, SMALL)
    sizes[:GROUP] = LARGE_IN_BOTH
    sizes[first : first + GROUP] = LARGE_IN_ONE
    means = np.random.default_rng(first).standard_normal((HEADS, HEAD_DIM))
    return ((normal + MEAN_SPREAD * means) * sizes).astype(np.float32)
