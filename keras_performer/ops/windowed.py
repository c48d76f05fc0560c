"""Exact softmax over the nearest positions, linear attention over all others."""

from keras import ops

from keras_performer.ops import checks, chunking, kernel_sums
from keras_performer.ops.near_and_far import chunk_sizes, first_carry, scan
from keras_performer.ops.packed import split_packed


def windowed_causal_attention(
    query,
    key,
    value,
    feature_map,
    parameters,
    window_size,
    window_log_weight=None,
    key_mask=None,
    segment_ids=None,
    chunk_size=64,
    outer_chunk_size=512,
):
    """Causal attention whose kernel is exact for the last `window_size` positions.

    With `w` positions in the window, its own among them, a query at t gives a key at s
    the weight `exp(q·k / √D + g)` where `t − s < w`, and `φ(q)·φ(k)` where it is
    farther; both are divided by their common sum. This is the sliding-window form of
    LoLCATs, arXiv 2410.10254: near positions, which a model has to tell apart, are
    exact, and the cost stays linear, `O(T (w D + M D))`.

    The window counts positions, hidden ones too.

    Args:
        query: Tensor of shape (B, T, H, D).
        key: Tensor of shape (B, T, Hk, D), with H a multiple of Hk.
        value: Tensor of shape (B, T, Hk, Dv).
        feature_map: A `keras_performer.feature_maps.FeatureMap`. One that estimates
            the softmax kernel makes near and far parts of one measure.
        parameters: Dictionary of the map's tensors.
        window_size: w, at least 1.
        window_log_weight: g, tensor of shape (H,), or `None` for zeros.
        key_mask: Boolean tensor of shape (B, T), True at the keys that count; or
            `None`, where all do.
        segment_ids: Integer tensor of shape (B, T), as for `packed_causal_attention`,
            or `None`.
        chunk_size: Positions of an inner chunk, which is as long as the window where
            that is longer.
        outer_chunk_size: Largest number of positions whose features exist at once, if
            it is not less than an inner chunk.

    Returns:
        Tensor of shape (B, T, H, Dv) and `value`'s dtype. Rows that see no key are
        zeros.

    Raises:
        ValueError: If shapes or sizes do not fit.

    Example:

    >>> import numpy as np
    >>> from keras_performer import feature_maps
    >>> from keras_performer.ops import exact_attention
    >>> from keras_performer.ops.reference import causal_mask
    >>> x = np.random.default_rng(0).random((1, 5, 1, 2)).astype("float32")
    >>> all_near = windowed_causal_attention(
    ...     x, x, x, feature_maps.get("relu"), {}, window_size=5
    ... )
    >>> exact = exact_attention(x, x, x, mask=causal_mask(5))
    >>> bool(np.allclose(all_near, exact, atol=1e-6))
    True
    """
    log_weight = near_log_weight(window_log_weight, query)
    lengths, chunks, attend = _prepared(
        query,
        key,
        value,
        feature_map,
        parameters,
        window_size,
        key_mask,
        segment_ids,
        chunk_size,
        outer_chunk_size,
    )
    sums = attend(chunks, log_weight, nearest=0).sums
    sums = chunking.join_heads(sums, lengths, ops.shape(query)[1], query.shape[2])
    return kernel_sums.normalize(sums, chunks.value.dtype)


def windowed_bidirectional_attention(
    query,
    key,
    value,
    feature_map,
    parameters,
    window_size,
    window_log_weight=None,
    key_mask=None,
    segment_ids=None,
    chunk_size=64,
    outer_chunk_size=512,
):
    """Attention whose kernel is exact where positions differ by less than the window.

    What a query sees at and before its position is summed from the left, what it sees
    behind it from the right. Arguments, result and errors are as for
    `windowed_causal_attention`; the window reaches to both sides.

    Example:

    >>> import numpy as np
    >>> from keras_performer import feature_maps
    >>> from keras_performer.ops import exact_attention
    >>> x = np.random.default_rng(0).random((1, 5, 1, 2)).astype("float32")
    >>> all_near = windowed_bidirectional_attention(
    ...     x, x, x, feature_maps.get("relu"), {}, window_size=5
    ... )
    >>> bool(np.allclose(all_near, exact_attention(x, x, x), atol=1e-6))
    True
    """
    log_weight = near_log_weight(window_log_weight, query)
    lengths, chunks, attend = _prepared(
        query,
        key,
        value,
        feature_map,
        parameters,
        window_size,
        key_mask,
        segment_ids,
        chunk_size,
        outer_chunk_size,
    )
    left = attend(chunks, log_weight, nearest=0)
    # Flipped chunks have their heads of queries in reverse as well, within a key's.
    key_heads = chunks.key.shape[2]
    groups = ops.flip(ops.reshape(log_weight, (key_heads, -1)), axis=1)
    backward = attend(chunks.flipped(), ops.reshape(groups, (-1,)), nearest=1)
    right = backward.flipped()
    sums = left.plus(right)
    sums = chunking.join_heads(sums, lengths, ops.shape(query)[1], query.shape[2])
    return kernel_sums.normalize(sums, chunks.value.dtype)


def _prepared(
    query,
    key,
    value,
    feature_map,
    parameters,
    window_size,
    key_mask,
    segment_ids,
    chunk_size,
    outer_chunk_size,
):
    """Chunk lengths, chunks, and the pass over them from the left."""
    query, key, value = map(ops.convert_to_tensor, (query, key, value))
    checks.check_positive("window_size", window_size)
    checks.check_positive("chunk_size", chunk_size)
    checks.check_positive("outer_chunk_size", outer_chunk_size)
    if segment_ids is None:
        segment_ids = ops.zeros(ops.shape(key)[:2], dtype="int32")
    sizes = chunk_sizes(window_size, chunk_size, outer_chunk_size)
    lengths, chunks = split_packed(query, key, value, segment_ids, key_mask, *sizes)

    def attend(chunks, log_weight, nearest):
        carry = first_carry(chunks, feature_map, parameters)
        sums, _ = scan(
            chunks, carry, feature_map, parameters, window_size, log_weight, nearest
        )
        return sums

    return lengths, chunks, attend


def near_log_weight(log_weight, query):
    """The near kernel's log weights (H,), zeros for `None`, in the sums' dtype."""
    heads, dtype = query.shape[2], chunking.wide_dtype(query)
    if log_weight is None:
        return ops.zeros((heads,), dtype=dtype)
    log_weight = ops.convert_to_tensor(log_weight)
    if tuple(log_weight.shape) != (heads,):
        raise ValueError(
            "`window_log_weight` must have a number for each head of queries: shape "
            f"({heads},). Received: window_log_weight.shape={tuple(log_weight.shape)}"
        )
    return ops.cast(log_weight, dtype)
