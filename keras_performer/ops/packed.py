"""Linear attention over packed rows: several sequences in each, none sees another."""

from keras import ops

from keras_performer.ops import checks, chunking, decay, kernel_sums
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
    log_decay=None,
    *,
    causal,
    **sizes,
):
    """Attention within each segment, as if each stood alone.

    The running sums start from zero at each boundary, inside of a chunk as well. What a
    query sees before its chunk, and in it, is summed from the left; what it sees behind
    its chunk, where it is not causal, is summed from the right. Where sums decay, what
    is behind it in its chunk is summed from the right as well. Arguments and result
    are those of `linear_attention`, with S = T, and the `sizes` of `causal_attention`.
    """
    lengths, chunks = split_packed(
        query, key, value, segment_ids, key_mask, log_decay, **sizes
    )
    inner = ops.ones((lengths[-1], lengths[-1]), dtype="bool")
    seen, behind = ops.tril(inner), ops.tril(inner, k=-1)
    if not causal and log_decay is None:
        seen, behind = inner, ~inner
    sums = _scan(chunks, feature_map, parameters, seen)
    if not causal:
        right = _scan(chunks.flipped(), feature_map, parameters, behind)
        sums = sums + chunking.flip(right)
    sums = chunking.join_heads(sums, lengths, ops.shape(query)[1], query.shape[2])
    return kernel_sums.normalize(sums, chunks.value.dtype)


def split_packed(query, key, value, segment_ids, key_mask, log_decay, **sizes):
    """Checks the inputs and cuts them: (N, n, C), and `Chunks`."""
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
    segments = number_segments(segment_ids)
    return lengths, chunking.split_inputs(
        query, key, value, lengths, key_mask, segments, log_decay
    )


def _scan(chunks, feature_map, parameters, visible):
    """Sums of each position: (N, B, Hk, n, G·C, Dv + 1).

    `visible` (C, C) tells which keys of its own inner chunk a query sees; of its
    segment it sees all keys in the chunks before.
    """
    tensors, bound = kernel_sums.bind(feature_map, parameters)

    def step(carry, chunk, shared):
        chunk = chunks.one(chunk)
        features, nan, last_nan = kernel_sums.causal_features(
            feature_map, bound(shared), chunk
        )
        sums, (after, segment) = _intra_chunk_attention(
            carry, features, chunk.segments, visible
        )
        return (after + last_nan, segment), (sums + nan,)

    sums = kernel_sums.initial_sums(chunks.key, chunks.value, feature_map, parameters)
    no_segment = ops.full((ops.shape(chunks.key)[1],), -1.0, dtype="float32")
    _, (sums,) = chunked_scan(step, (sums, no_segment), chunks.present(), tensors)
    return sums


def _intra_chunk_attention(carry, features, segments, visible):
    """As that of `causal`, for segments (B, n, C) and the segment of `carry`."""
    queries, keys, values, log_decay = features
    groups = queries.shape[-2] // keys.shape[-2]
    same = ops.logical_and(same_segment(segments, segments), visible)[:, None]
    scores = queries @ ops.swapaxes(keys, -1, -2)
    if log_decay is None:
        same = ops.tile(same, (1, 1, 1, groups, 1))  # (B, 1, n, G·C, C)
        scores = ops.where(same, scores, ops.zeros_like(scores))
    else:
        factors = decay.between_positions(log_decay, log_decay, same)
        scores = scores * decay.for_groups(factors, groups, axis=3)

    sums, before, carry = segment_sums(carry, keys, values, segments, log_decay)
    seen = continues_segment(segments, before, groups, values.dtype)
    if log_decay is not None:
        seen = seen * decay.from_start(log_decay, groups)
    return scores @ values + kernel_sums.query_sums(queries, sums) * seen, carry
