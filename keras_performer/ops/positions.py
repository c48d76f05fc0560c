"""Positions in a sequence, counted over what its masks leave."""

from keras import ops

from keras_performer.ops.segments import number_segments


def count_positions(mask, segment_ids=None):
    """The position of each element among those of its sequence that count.

    Padding takes no position, and each segment starts at zero, so that a sequence has
    the positions that it would have alone.

    Args:
        mask: Boolean tensor of shape (B, T), True at the positions that count.
        segment_ids: Integer tensor of shape (B, T), as for `linear_attention`, or
            `None` for one segment a row.

    Returns:
        Integer tensor of shape (B, T). What the mask hides has the position of the
        element that counts before it, or zero.

    Example:

    >>> import numpy as np
    >>> mask = np.array([[False, True, True, False, True]])
    >>> np.asarray(count_positions(mask)).tolist()
    [[0, 0, 1, 1, 2]]
    >>> np.asarray(count_positions(mask, np.array([[4, 4, 4, 7, 7]]))).tolist()
    [[0, 0, 1, 0, 0]]
    """
    mask = ops.cast(mask, "int32")
    counts = ops.cumsum(mask, axis=1)
    if segment_ids is not None:
        counts = counts - _counted_before(mask, counts, segment_ids)
    return ops.cast(ops.maximum(counts - 1, 0), "int32")


def _counted_before(mask, counts, segment_ids):
    """How many elements count before the segment of each: (B, T)."""
    batch, length = ops.shape(mask)
    segments = ops.cast(number_segments(segment_ids), "int32")
    segments = segments + ops.arange(batch, dtype="int32")[:, None] * length
    # Of all elements of a segment the first alone tells, so that sums pick it.
    is_first = segments[:, 1:] != segments[:, :-1]
    is_first = ops.pad(is_first, [(0, 0), (1, 0)], constant_values=True)
    before = ops.where(is_first, counts - mask, 0)
    sums = ops.segment_sum(
        ops.reshape(before, (-1,)), ops.reshape(segments, (-1,)), batch * length
    )
    return ops.take(sums, segments)
