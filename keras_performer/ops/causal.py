"""Causal linear attention: each query sees the keys up to its own position."""

from keras import ops

from keras_performer.ops import checks, chunking
from keras_performer.ops.scan import chunked_scan


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
        key: Tensor of shape (B, T, Hk, D), with H a multiple of Hk as for
            `bidirectional_attention`.
        value: Tensor of shape (B, T, Hk, Dv).
        feature_map: A `keras_performer.feature_maps.FeatureMap`.
        parameters: Dictionary of the map's tensors, such as
            `{"projection": (M, D)}`.
        key_mask: Boolean tensor of shape (B, T), True at the keys that count; or
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
    output, _ = attend_from(
        None,
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
    sums,
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
        sums: `Σ [v, 1] φ(k)ᵀ` of earlier positions, of shape (B, Hk, Dv + 1, M), or
            `None` where there are none. The other arguments are as for
            `causal_attention`.

    Returns:
        The output, of shape (B, T, H, Dv), and the sums after the last position.
    """
    query, key, value = map(ops.convert_to_tensor, (query, key, value))
    checks.check_causal(query, key, value, key_mask, chunk_size, outer_chunk_size)
    tensors, bound = chunking.bind(feature_map, parameters)
    length, heads = ops.shape(query)[1], query.shape[2]
    lengths = chunking.inner_lengths(length, outer_chunk_size, chunk_size)

    def step(carry, chunk, shared):
        query, *keys = chunk
        parameters = bound(shared)
        keys, values = chunking.weighted_keys(feature_map, parameters, *keys)
        queries, _ = feature_map.queries(chunking.wide(query), parameters)
        outputs, last = attend_within(carry[0], queries, keys, values)
        return (last,), (outputs,)

    queries = chunking.split_heads(query, lengths, key.shape[2])
    keys = chunking.split_keys(key, value, key_mask, lengths)
    if sums is None:
        sums = chunking.initial_sums(*keys[:2], feature_map, parameters)
    (last,), (outputs,) = chunked_scan(step, (sums,), (queries, *keys), tensors)
    outputs = chunking.normalize(outputs, value.dtype)
    return chunking.join_heads(outputs, lengths, length, heads), last


def attend_within(before, queries, keys, values):
    """Causal sums of one outer chunk of n inner ones, from the sums before it.

    Args:
        before: Sums of shape (B, Hk, Dv + 1, M).
        queries: Features of shape (B, Hk, n, G·C, M).
        keys: Features of shape (B, Hk, n, C, M).
        values: Weighted values of shape (B, Hk, n, C, Dv + 1).

    Returns:
        Sums of each position, (B, Hk, n, G·C, Dv + 1), and those after the last one,
        (B, Hk, Dv + 1, M).
    """
    scores = past(queries @ ops.swapaxes(keys, -1, -2))
    added = chunking.outer_sum(values, keys)
    starts = before[:, :, None] + sums_before(added)
    sums = scores @ values + chunking.read(queries, starts)
    return sums, before + ops.sum(added, axis=2)


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
    return chunking.sum_chunks(lower, added)
