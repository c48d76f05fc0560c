"""Causal linear attention: each query sees the keys up to its own position."""

from keras import ops

from keras_performer.ops import checks, chunking, kernel_sums
from keras_performer.ops.backend import chunked_scan


def causal_attention(
    query,
    key,
    value,
    feature_map,
    parameters,
    key_mask=None,
    chunk_size=64,
    outer_chunk_size=512,
):
    """Attention of each query to the keys at and before its own position.

    Within a chunk of C positions the masked C×C product of features is formed; what
    came before is in the running sums `S = Σ [v, 1] φ(k)ᵀ`. A loop goes over outer
    chunks, whose inner chunks are batched products. The backward pass is a loop from
    the end to the beginning that computes the features again. So beside the inputs
    and the output the memory is O(M·D) for each outer chunk, O(T·D) in all.

    No statistic of a later position is used, so that the outputs up to any position
    are bit-equal whatever follows it.

    Args:
        query: Tensor of shape (B, T, H, D).
        key: Tensor of shape (B, S, Hk, D), with H a multiple of Hk as for
            `bidirectional_attention`. Keys beyond T are seen by none.
        value: Tensor of shape (B, S, Hk, Dv).
        feature_map: A `keras_performer.feature_maps.FeatureMap`.
        parameters: Dictionary of the map's tensors, such as
            `{"projection": (M, D)}`.
        key_mask: Boolean tensor of shape (B, S), True at the keys that count; or
            `None`, where all do.
        chunk_size: C, positions of an inner chunk.
        outer_chunk_size: Largest number of positions whose features exist at once,
            a multiple of `chunk_size`.

    Returns:
        Tensor of shape (B, T, H, Dv) and `value`'s dtype. Rows that see no key are
        zeros.

    Raises:
        ValueError: If shapes or chunk sizes do not fit.

    Example:

    >>> import numpy as np
    >>> from keras_performer import feature_maps
    >>> x = np.ones((2, 7, 3, 5), "float32")
    >>> causal_attention(x, x, x, feature_maps.get("relu"), {}).shape
    TensorShape([2, 7, 3, 5])
    """
    key, value, key_mask = _truncated(query.shape[1], key, value, key_mask)
    output, _ = attend_from(
        (),
        query,
        key,
        value,
        feature_map,
        parameters,
        key_mask,
        chunk_size,
        outer_chunk_size,
    )
    return output


def attend_from(
    carry,
    query,
    key,
    value,
    feature_map,
    parameters,
    key_mask,
    chunk_size,
    outer_chunk_size,
):
    """Causal attention that goes on from the sums of what came before.

    Args:
        carry: The parts of an `AttentionState` of the positions before, or nothing;
            then rounding errors are not kept track of, which would cost memory at each
            chunk. The other arguments are as for `causal_attention`.

    Returns:
        The output, of shape (B, T, H, Dv), and the carry after the last position.
    """
    query, key, value = map(ops.convert_to_tensor, (query, key, value))
    checks.check_causal(query, key, value, key_mask, chunk_size, outer_chunk_size)
    tensors, bound = kernel_sums.bind(feature_map, parameters)
    length, heads = ops.shape(query)[1], query.shape[2]
    groups = heads // key.shape[2]
    lengths = chunking.inner_lengths(length, outer_chunk_size, chunk_size)

    def step(carry, chunk, shared):
        query, *keys = chunk
        parameters = bound(shared)
        *sound, broken = kernel_sums.set_aside_broken(*keys)
        keys, values = kernel_sums.weighted_keys(
            feature_map, parameters, *sound, *keys[2:]
        )
        queries, _ = feature_map.queries(chunking.wide(query), parameters)
        outputs, added = attend_within(carry[0], queries, keys, values)
        poison, last_poison = kernel_sums.poison(broken, groups)
        added = added + last_poison
        if len(carry) == 1:
            carry = (carry[0] + added,)
        else:
            carry = kernel_sums.accumulate(*carry, added)
        return carry, (outputs + poison,)

    queries = chunking.split_heads(query, lengths, key.shape[2])
    keys = chunking.split_keys(key, value, key_mask, lengths)
    if not carry:
        carry = (kernel_sums.initial_sums(*keys[:2], feature_map, parameters),)
    carry, (outputs,) = chunked_scan(step, tuple(carry), (queries, *keys), tensors)
    outputs = chunking.join_heads(outputs, lengths, length, heads)
    return kernel_sums.normalize(outputs, value.dtype), carry


def _truncated(length, *tensors):
    """Without the keys beyond the last query, where both lengths are known."""
    source = tensors[0].shape[1]
    if None in (length, source) or source <= length:
        return tensors
    return tuple(None if x is None else x[:, :length] for x in tensors)


def attend_within(before, queries, keys, values):
    """Causal sums of one outer chunk of n inner ones, from the sums before it.

    Args:
        before: Sums of shape (B, Hk, Dv + 1, M).
        queries: Features of shape (B, Hk, n, G·C, M).
        keys: Features of shape (B, Hk, n, C, M).
        values: Weighted values of shape (B, Hk, n, C, Dv + 1).

    Returns:
        Sums of each position, (B, Hk, n, G·C, Dv + 1), and what the chunk adds to
        those after it, (B, Hk, Dv + 1, M).
    """
    scores = past(queries @ ops.swapaxes(keys, -1, -2))
    added = kernel_sums.outer_sum(values, keys)
    starts = ops.expand_dims(before, 2) + sums_before(added)
    sums = scores @ values + kernel_sums.read(queries, starts)
    return sums, ops.sum(added, axis=2)


def past(scores):
    """Zeros where a key is later than its query: (..., G·C, C) to the same shape."""
    rows, size = scores.shape[-2:]
    earlier = ops.tril(ops.ones((size, size), scores.dtype))
    return scores * ops.tile(earlier, (rows // size, 1))


def sums_before(added):
    """Exclusive cumulative sums over chunks: (B, Hk, n, Dv + 1, M) to the same shape.

    A product with a triangular matrix: on CPU, TensorFlow's cumulative sum takes nine
    times as long.
    """
    batch, heads, number = ops.shape(added)[:3]
    lower = ops.tril(ops.ones((batch, heads, number, number), added.dtype), k=-1)
    return kernel_sums.sum_chunks(lower, added)
