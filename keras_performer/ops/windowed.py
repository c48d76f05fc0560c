"""Exact softmax over the nearest positions, linear attention over all others."""

from keras import ops

from keras_performer.ops import chunking, kernel_sums
from keras_performer.ops.accumulation import accumulation_dtype
from keras_performer.ops.packed import split_packed
from keras_performer.ops.windowed_chunks import chunk_sizes, first_carry, scan


def windowed_attention(
    query,
    key,
    value,
    feature_map,
    parameters,
    window_size,
    window_log_weight=None,
    key_mask=None,
    segment_ids=None,
    log_decay=None,
    *,
    causal,
    **sizes,
):
    """Attention whose kernel is exact where positions differ by less than the window.

    What a query sees at and before its position is summed from the left; what it sees
    behind it, where it is not causal, is summed from the right. Arguments and result
    are those of `linear_attention`, with S = T.

    Args:
        query: Tensor of shape (B, T, H, D).
        key: Tensor of shape (B, T, Hk, D).
        value: Tensor of shape (B, T, Hk, Dv).
        feature_map: A `FeatureMap`.
        parameters: Dictionary of its tensors.
        window_size: w.
        window_log_weight: g, tensor of shape (H,), or `None`.
        key_mask: Boolean tensor of shape (B, T), or `None`.
        segment_ids: Integer tensor of shape (B, T), or `None`.
        log_decay: Bounded log decays of shape (B, T, Hk), or `None`.
        causal: Whether a query sees only the keys at and before its position.
        **sizes: As for `windowed_chunks.chunk_sizes`.

    Returns:
        Tensor of shape (B, T, H, Dv).
    """
    log_weight = local_log_weight(window_log_weight, query)
    query, key, value = map(ops.convert_to_tensor, (query, key, value))
    sizes = chunk_sizes(window_size, **sizes)
    if segment_ids is None:
        segment_ids = ops.zeros(ops.shape(key)[:2], dtype="int32")
    lengths, chunks = split_packed(
        query, key, value, segment_ids, key_mask, log_decay, **sizes
    )

    def scan_from_left(chunks, log_weight, nearest):
        carry = first_carry(chunks, feature_map, parameters)
        return scan(
            chunks, carry, feature_map, parameters, window_size, log_weight, nearest
        )[0]

    sums = scan_from_left(chunks, log_weight, nearest=0)
    if not causal:
        # Flipped chunks have their heads of queries in reverse as well, within a key's.
        groups = ops.flip(ops.reshape(log_weight, (key.shape[2], -1)), axis=1)
        log_weight = ops.reshape(groups, (-1,))
        right = scan_from_left(chunks.flipped(), log_weight, nearest=1)
        sums = sums.plus(right.flipped())
    sums = chunking.join_heads(sums.sums, lengths, ops.shape(query)[1], query.shape[2])
    return kernel_sums.normalize(sums, value.dtype)


def local_log_weight(log_weight, query):
    """The local kernel's log weights (H,), zeros for `None`, in the sums' dtype."""
    heads, dtype = query.shape[2], accumulation_dtype(query)
    if log_weight is None:
        return ops.zeros((heads,), dtype=dtype)
    log_weight = ops.convert_to_tensor(log_weight)
    if tuple(log_weight.shape) != (heads,):
        raise ValueError(
            "`window_log_weight` must have a number for each head of queries: shape "
            f"({heads},). Received: window_log_weight.shape={tuple(log_weight.shape)}"
        )
    return ops.cast(log_weight, dtype)
