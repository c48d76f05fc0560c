"""Causal linear attention: each query sees the keys up to its own position."""

from keras import ops

from keras_performer.ops import checks, chunking, decay, kernel_sums
from keras_performer.ops.accumulation import kahan_add
from keras_performer.ops.backend import chunked_scan


def causal_attention(
    query,
    key,
    value,
    feature_map,
    parameters,
    key_mask=None,
    log_decay=None,
    **sizes,
):
    """Attention of each query to the keys at and before its own position.

    Within a chunk of C positions the masked C×C product of features is formed; what
    came before is in the running sums `S = Σ [v, 1] φ(k)ᵀ`. A loop goes over outer
    chunks, whose inner chunks are batched products. The backward pass is a loop from
    the end to the beginning that computes the features again. So beside the inputs
    and the output the memory is O(M·D) for each outer chunk, O(T·D) in all.

    No statistic of a later position is used, so that the outputs up to any position
    are bit-equal whatever follows it. Arguments and result are those of
    `linear_attention`.

    Args:
        query: Tensor of shape (B, T, H, D).
        key: Tensor of shape (B, S, Hk, D). Keys beyond T are seen by none.
        value: Tensor of shape (B, S, Hk, Dv).
        feature_map: A `FeatureMap`.
        parameters: Dictionary of its tensors.
        key_mask: Boolean tensor of shape (B, S), or `None`.
        log_decay: Bounded log decays of shape (B, S, Hk), or `None`.
        **sizes: `chunk_size`, C, and `outer_chunk_size`, the largest number of
            positions whose features exist at once; see `chunking.inner_lengths`.

    Returns:
        Tensor of shape (B, T, H, Dv).
    """
    keys = _truncated(query.shape[1], key, value, key_mask, log_decay)
    key, value, key_mask, log_decay = keys
    inputs = (query, key, value, feature_map, parameters, key_mask, log_decay)
    return attend_from((), *inputs, **sizes)[0]


def attend_from(
    carry, query, key, value, feature_map, parameters, key_mask, log_decay, **sizes
):
    """Causal attention that goes on from the sums of what came before.

    Args:
        carry: The parts of an `AttentionState` of the positions before, or nothing;
            then rounding errors are not compensated, which would cost memory at each
            chunk.
        query: Tensor of shape (B, T, H, D).
        key: Tensor of shape (B, T, Hk, D).
        value: Tensor of shape (B, T, Hk, Dv).
        feature_map: A `FeatureMap`.
        parameters: Dictionary of its tensors.
        key_mask: Boolean tensor of shape (B, T), or `None`.
        log_decay: Bounded log decays of shape (B, T, Hk), or `None`.
        **sizes: `chunk_size` and `outer_chunk_size`.

    Returns:
        The output, of shape (B, T, H, Dv), and the carry after the last position.
    """
    query, key, value = map(ops.convert_to_tensor, (query, key, value))
    checks.check_shapes(query, key, value, key_mask)
    tensors, bound = kernel_sums.bind(feature_map, parameters)
    length, heads = ops.shape(query)[1], query.shape[2]
    lengths = chunking.inner_lengths(length, **sizes)
    chunks = chunking.split_inputs(
        query, key, value, lengths, key_mask, log_decay=log_decay
    )

    def step(carry, chunk, shared):
        features, nan, last_nan = kernel_sums.causal_features(
            feature_map, bound(shared), chunks.one(chunk)
        )
        outputs, kept, added = intra_chunk_attention(carry[0], *features)
        if kept is not None:
            carry = tuple(x * kept for x in carry)
        added = added + last_nan
        carry = kahan_add(*carry, added) if len(carry) == 2 else (carry[0] + added,)
        return carry, (outputs + nan,)

    if not carry:
        carry = (kernel_sums.initial_sums(*chunks[1:3], feature_map, parameters),)
    carry, (outputs,) = chunked_scan(step, tuple(carry), chunks.present(), tensors)
    outputs = chunking.join_heads(outputs, lengths, length, heads)
    return kernel_sums.normalize(outputs, value.dtype), carry


def intra_chunk_attention(before, queries, keys, values, log_decay):
    """Causal sums of one outer chunk of n inner ones, from the sums before it.

    Args:
        before: Sums of shape (B, Hk, Dv + 1, M).
        queries: Features of shape (B, Hk, n, G·C, M).
        keys: Features of shape (B, Hk, n, C, M).
        values: Weighted values of shape (B, Hk, n, C, Dv + 1).
        log_decay: Cumulative log decays of shape (B, Hk, n, C), or `None`.

    Returns:
        Sums of each position, (B, Hk, n, G·C, Dv + 1); the factor of the sums before
        the chunk at its end, (B, Hk, 1, 1), or `None`; and what the chunk adds to
        them, (B, Hk, Dv + 1, M).
    """
    rows, size = queries.shape[-2], keys.shape[-2]
    scores = queries @ ops.swapaxes(keys, -1, -2)
    earlier = ops.tril(ops.ones((size, size), scores.dtype))
    before = ops.expand_dims(before, 2)
    if log_decay is None:
        scores = scores * ops.tile(earlier, (rows // size, 1))
        added = kernel_sums.outer_sum(values, keys)
        starts = before + _sums_before(added)
        sums = scores @ values + kernel_sums.query_sums(queries, starts)
        return sums, None, ops.sum(added, axis=2)
    groups = rows // size
    factors = decay.between_positions(log_decay, log_decay, earlier > 0)
    scores = scores * decay.for_groups(factors, groups, axis=3)
    added = kernel_sums.outer_sum(values * decay.to_end(log_decay), keys)
    factors = decay.between_chunks(log_decay)
    # Products, two of them: slices and broadcasts of such tensors take longer.
    of_chunks, of_all = factors[..., :-1, 1:], factors[..., -1:, 1:]
    starts = kernel_sums.sum_chunks(of_chunks, added)
    starts = starts + kernel_sums.sum_chunks(factors[..., :-1, :1], before)
    sums = kernel_sums.query_sums(queries, starts) * decay.from_start(log_decay, groups)
    added = kernel_sums.sum_chunks(of_all, added)[:, :, 0]
    return scores @ values + sums, factors[..., -1:, :1], added


def _truncated(length, *tensors):
    """Without the keys beyond the last query, where both lengths are known."""
    source = tensors[0].shape[1]
    if None in (length, source) or source <= length:
        return tensors
    return tuple(None if x is None else x[:, :length] for x in tensors)


def _sums_before(added):
    """Exclusive cumulative sums over chunks: (B, Hk, n, Dv + 1, M) to the same shape.

    A product with a triangular matrix: on CPU, TensorFlow's cumulative sum takes nine
    times as long.
    """
    batch, heads, number = ops.shape(added)[:3]
    lower = ops.tril(ops.ones((batch, heads, number, number), added.dtype), k=-1)
    return kernel_sums.sum_chunks(lower, added)
