"""Linear attention over packed rows: several sequences in each, none sees another."""

from typing import Any, NamedTuple

from keras import ops

from keras_performer.ops import checks, chunking, kernel_sums
from keras_performer.ops.backend import chunked_scan
from keras_performer.ops.segments import (
    continues_segment,
    number_segments,
    same_segment,
    segment_sums,
)


def packed_attention(
    query,
    key,
    value,
    feature_map,
    parameters,
    segment_ids,
    key_mask=None,
    *,
    causal,
    **sizes,
):
    """Attention within each segment, as if each stood alone.

    The running sums start from zero at each boundary, inside of a chunk as well. What a
    query sees before its chunk, and in it, is summed from the left; what it sees behind
    its chunk, where it is not causal, is summed from the right. Arguments and result
    are those of `linear_attention`, with S = T, and the `sizes` of `causal_attention`.
    """
    lengths, chunks = split_packed(query, key, value, segment_ids, key_mask, **sizes)
    visible = ops.ones((lengths[-1], lengths[-1]), dtype="bool")
    if causal:
        visible = ops.tril(visible)
    sums = _scan(chunks, feature_map, parameters, visible)
    if not causal:
        right = _scan(chunks.flipped(), feature_map, parameters, ~visible)
        sums = sums + flipped(right)
    sums = chunking.join_heads(sums, lengths, ops.shape(query)[1], query.shape[2])
    return kernel_sums.normalize(sums, chunks.value.dtype)


class PackedChunks(NamedTuple):
    """Inputs in N outer chunks of n inner ones: (N, B, Hk, n, C, D), (N, B, n, C)."""

    query: Any
    key: Any
    value: Any
    segments: Any
    mask: Any

    def flipped(self):
        """The inputs from the end to the beginning."""
        return PackedChunks(
            *map(flipped, self[:3]), *(flipped(x, axes=(2, 3)) for x in self[3:])
        )


def flipped(x, axes=(3, 4)):
    """Chunks (N, B, Hk, n, C, ...) from the last position to the first.

    Args:
        x: Tensor whose first axis counts outer chunks.
        axes: Those of the inner chunks and of the positions.
    """
    # One at a time: LiteRT reverses no axes that are apart, Keras 3.12 no tuples.
    for axis in (0, *axes):
        x = ops.flip(x, axis=axis)
    return x


def split_packed(query, key, value, segment_ids, key_mask, **sizes):
    """Checks the inputs and cuts them: (N, n, C), and `PackedChunks`."""
    query, key, value = map(ops.convert_to_tensor, (query, key, value))
    segment_ids = ops.convert_to_tensor(segment_ids)
    checks.check_shapes(query, key, value, key_mask)
    checks.check_self_attention(query, key)
    if len(segment_ids.shape) != 2:
        raise ValueError(
            "`segment_ids` must have rank 2: (batch, length), an id for each position. "
            f"Received: segment_ids.shape={tuple(segment_ids.shape)}"
        )
    if key_mask is None:
        key_mask = ops.ones(ops.shape(key)[:2], dtype="bool")
    lengths = chunking.inner_lengths(ops.shape(query)[1], **sizes)
    keys, values, mask = chunking.split_keys(key, value, key_mask, lengths)
    queries = chunking.split_heads(query, lengths, key.shape[2])
    segments = chunking.split(number_segments(segment_ids), lengths)
    return lengths, PackedChunks(queries, keys, values, segments, mask)


def _scan(chunks, feature_map, parameters, visible):
    """Sums of each position: (N, B, Hk, n, G·C, Dv + 1).

    `visible` (C, C) tells which keys of its own inner chunk a query sees; of its
    segment it sees all keys in the chunks before.
    """
    tensors, bound = kernel_sums.bind(feature_map, parameters)

    def step(carry, chunk, shared):
        *inputs, segments, mask = chunk
        *features, nan, last_nan = kernel_sums.causal_features(
            feature_map, bound(shared), *inputs, mask
        )
        sums, (after, segment) = _intra_chunk_attention(
            carry, *features, segments, visible
        )
        return (after + last_nan, segment), (sums + nan,)

    sums = kernel_sums.initial_sums(chunks.key, chunks.value, feature_map, parameters)
    no_segment = ops.full((ops.shape(chunks.key)[1],), -1.0, dtype="float32")
    _, (sums,) = chunked_scan(step, (sums, no_segment), tuple(chunks), tensors)
    return sums


def _intra_chunk_attention(carry, queries, keys, values, segments, visible):
    """As that of `causal`, for segments (B, n, C) and the segment of `carry`."""
    groups = queries.shape[-2] // keys.shape[-2]
    same = ops.logical_and(same_segment(segments, segments), visible)
    same = ops.tile(same, (1, 1, groups, 1))[:, None]  # (B, 1, n, G·C, C)
    scores = queries @ ops.swapaxes(keys, -1, -2)
    scores = ops.where(same, scores, ops.zeros_like(scores))

    sums, before, carry = segment_sums(carry, keys, values, segments)
    seen = continues_segment(segments, before, groups, values.dtype)
    return scores @ values + kernel_sums.query_sums(queries, sums) * seen, carry
