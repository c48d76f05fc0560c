"""Segments of packed rows: stretches of equal ids, of which none sees another."""

from keras import ops

from keras_performer.ops import decay, kernel_sums


def number_segments(segment_ids):
    """Numbers the segments, (B, T) to (B, T), in float32 from zero on."""
    changes = ops.cast(segment_ids[:, 1:] != segment_ids[:, :-1], "float32")
    return ops.pad(ops.cumsum(changes, axis=1), [(0, 0), (1, 0)])


def same_segment(of_queries, of_keys):
    """Which pairs are of one segment: (..., T) and (..., S) to (..., T, S)."""
    return ops.expand_dims(of_queries, -1) == ops.expand_dims(of_keys, -2)


def continues_segment(segments, before, groups, dtype):
    """Which positions go on with the segment before their chunk.

    Args:
        segments: Numbers of the segments of n chunks, (B, n, C).
        before: Number of the last segment before each chunk, (B, n).
        groups: G, heads of queries for each head of keys.
        dtype: Name of the result's dtype.

    Returns:
        Tensor of shape (B, 1, n, G·C, 1), 1 where a position does and 0 elsewhere.
    """
    same = ops.cast(segments == ops.expand_dims(before, -1), dtype)
    return ops.expand_dims(ops.tile(same, (1, 1, groups)), (1, -1))


def segment_sums(carry, keys, values, segments, log_decay=None):
    """The sums before each of n chunks, of the segment that is open there.

    Args:
        carry: Sums (B, Hk, Dv + 1, M) before the first chunk, and the segment (B,) that
            they are of.
        keys: Features of shape (B, Hk, n, C, M).
        values: Weighted values of shape (B, Hk, n, C, Dv + 1).
        segments: Numbers of the segments, (B, n, C), ascending.
        log_decay: Cumulative log decays of shape (B, Hk, n, C), or `None`.

    Returns:
        Sums (B, Hk, n, Dv + 1, M) of the keys before each chunk that are of the segment
        of the last of them, those segments (B, n), and the carry after the last chunk.
    """
    before, open_segment = carry
    last = segments[:, :, -1]  # (B, n)
    ends = ops.concatenate([open_segment[:, None], last], axis=1)  # (B, 1 + n)
    lasting = ops.cast(segments == ops.expand_dims(last, -1), values.dtype)
    lasting = ops.expand_dims(lasting, (1, -1))
    if log_decay is not None:
        lasting = lasting * decay.to_end(log_decay)
    added = kernel_sums.outer_sum(values * lasting, keys)
    added = ops.concatenate([before[:, :, None], added], axis=2)
    factors = ops.tril(ops.cast(same_segment(ends, ends), values.dtype))[:, None]
    if log_decay is not None:
        factors = factors * decay.between_chunks(log_decay)
    sums = kernel_sums.sum_chunks(factors, added)
    number = ops.shape(segments)[1]
    after = (sums[:, :, number], ends[:, number])
    return sums[:, :, :number], ends[:, :number], after
