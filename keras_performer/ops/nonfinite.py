"""Keys, values and decays that are not finite: kept from the queries before them.

A product with zero does not hide what is not finite, so that it would reach queries
that do not see it. It is replaced by zeros, and the sums of those that see it become
NaN afterwards.
"""

import numpy as np
from keras import ops

from keras_performer.ops.accumulation import to_accumulation_dtype


def zero_nonfinite(chunk):
    """Zeros in place of keys, values and decays that are not finite.

    Args:
        chunk: `chunking.Chunks` of one outer chunk. What its mask hides may hold
            anything.

    Returns:
        The chunk, and a float tensor of shape (B, Hk, n, C), 1 where a key, a value or
        a decay that counts was not finite and 0 elsewhere.
    """
    key, value = map(to_accumulation_dtype, (chunk.key, chunk.value))
    total = ops.sum(key, axis=-1) + ops.sum(value, axis=-1)
    log_decay = chunk.log_decay
    if log_decay is not None:
        total = total + log_decay
    is_finite = ops.isfinite(total)
    if log_decay is not None:
        log_decay = ops.where(is_finite, log_decay, ops.zeros_like(log_decay))
    kept = ops.expand_dims(is_finite, -1)
    key, value = (ops.where(kept, x, ops.zeros_like(x)) for x in (key, value))
    nonfinite = ops.cast(ops.logical_not(is_finite), key.dtype)
    if chunk.mask is not None:
        nonfinite = nonfinite * ops.cast(chunk.mask[:, None], nonfinite.dtype)
    return chunk._replace(key=key, value=value, log_decay=log_decay), nonfinite


def nan_after_nonfinite(nonfinite, groups):
    """What to add to sums, so that they are NaN from the first nonfinite key on.

    Args:
        nonfinite: Float tensor of shape (B, Hk, n, C), from `zero_nonfinite`.
        groups: G, heads of queries for each head of keys.

    Returns:
        Zeros and NaN of shape (B, Hk, n, G·C, 1) for the sums of each position, and
        (B, Hk, 1, 1) for those after the last one.
    """
    shape = ops.shape(nonfinite)
    flat = ops.reshape(nonfinite, (*shape[:2], shape[2] * shape[3]))
    seen = ops.reshape(ops.cumsum(flat, axis=-1), shape)
    last = seen[:, :, -1:, -1:]
    seen = ops.expand_dims(ops.tile(seen, (1, 1, 1, groups)), -1)
    return tuple(ops.where(x > 0, np.nan, ops.zeros_like(x)) for x in (seen, last))
