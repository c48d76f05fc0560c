"""Decays: how much of what attention has summed up is kept from position to position.

At a position r all sums are multiplied by `exp(f_r)`, with a log decay `f_r ≤ 0`, and
then the position's own key is added. So a key at s has the factor
`exp(f_{s+1} + … + f_t)` for a query at t: arXiv 2103.02143 (gated random feature
attention), 2312.06635, and 2503.02130 for softmax attention. Factors are exponentials
of differences of cumulative sums of one chunk: quotients of products would overflow.
"""

import numpy as np
from keras import ops

from keras_performer.ops import checks
from keras_performer.ops.accumulation import accumulation_dtype
from keras_performer.ops.backend import running_sums

LOWEST_LOG_DECAY = -20.0


def bounded_log_decay(log_decay, key, mask=None):
    """Log decays, checked, in the sums' dtype, bounded, and zeros where a mask hides.

    Less than `LOWEST_LOG_DECAY` counts as that, which is 2e-9: with steeper decays the
    cumulative sums of a chunk would lose the digits of its other positions.

    Args:
        log_decay: Tensor of shape (B, T, Hk), or `None`, where nothing decays.
        key: Tensor of shape (B, T, Hk, D).
        mask: Boolean tensor of shape (B, T), or `None`.

    Returns:
        Tensor of shape (B, T, Hk), or `None`.

    Raises:
        ValueError: If log decays are not of the keys' positions and heads.
    """
    if log_decay is None:
        return None
    checks.check_log_decay(log_decay, key)
    log_decay = ops.cast(ops.convert_to_tensor(log_decay), accumulation_dtype(key))
    lowest = ops.full_like(log_decay, LOWEST_LOG_DECAY)
    log_decay = ops.where(log_decay < lowest, lowest, log_decay)
    if mask is None:
        return log_decay
    mask = ops.expand_dims(ops.cast(mask, "bool"), -1)
    return ops.where(mask, log_decay, ops.zeros_like(log_decay))


def pairwise_log_decay(log_decay):
    """The log factor of each pair of positions of one sequence.

    For a key behind its query it is that of the sequence from its end to its beginning:
    the decays from the query's position on, up to before the key's.

    Args:
        log_decay: Tensor of shape (B, T, Hk).

    Returns:
        Tensor of shape (B, Hk, T, T), queries before keys.
    """
    log_decay = ops.swapaxes(log_decay, 1, 2)
    after = running_sums(log_decay, axis=-1)
    before = after - log_decay
    left = after[..., :, None] - after[..., None, :]
    right = before[..., None, :] - before[..., :, None]
    positions = ops.arange(ops.shape(after)[-1])
    return ops.where(positions[:, None] >= positions, left, right)


def between_positions(of_queries, of_keys, visible):
    """Factors of the keys of a chunk for its queries.

    Args:
        of_queries: Cumulative log decays at queries, (..., T).
        of_keys: Those at keys, (..., S).
        visible: Boolean tensor that broadcasts to (..., T, S), False where a query does
            not see a key; the factor there is zero.

    Returns:
        Tensor of shape (..., T, S).
    """
    difference = ops.expand_dims(of_queries, -1) - ops.expand_dims(of_keys, -2)
    # Added: the gradient of `where` would go through two more tensors of this size.
    hidden = ops.cast(ops.where(visible, 0.0, -np.inf), difference.dtype)
    return ops.exp(difference + hidden)


def from_start(cumulative, groups):
    """Factors of what was summed before each chunk, at the positions of its queries.

    Args:
        cumulative: Cumulative log decays of n chunks, (B, Hk, n, C).
        groups: G, heads of queries for each head of keys.

    Returns:
        Tensor of shape (B, Hk, n, G·C, 1).
    """
    return ops.expand_dims(for_groups(ops.exp(cumulative), groups, axis=3), -1)


def for_groups(x, groups, axis):
    """A tensor of each key's rows for the rows of all queries that share them."""
    if groups == 1:
        return x
    return ops.tile(x, [groups if i == axis else 1 for i in range(len(x.shape))])


def to_end(cumulative):
    """Factors of the keys of each chunk at its end: (B, Hk, n, C) to (..., C, 1)."""
    return ops.expand_dims(ops.exp(cumulative[..., -1:] - cumulative), -1)


def between_chunks(cumulative):
    """Factors of what was summed up to the end of one chunk at the end of another.

    Args:
        cumulative: Cumulative log decays of n chunks, (B, Hk, n, C).

    Returns:
        Tensor of shape (B, Hk, n + 1, n + 1), lower triangular: at (i, j) the factor
        from the end of the first j chunks to that of the first i.
    """
    ends = running_sums(cumulative[..., -1], axis=-1)
    ends = ops.pad(ends, [(0, 0), (0, 0), (1, 0)])
    size = ops.shape(ends)[-1]
    return between_positions(ends, ends, ops.tril(ops.ones((size, size), "bool")))
