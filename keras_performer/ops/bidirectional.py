"""Bidirectional linear attention: every query sees every key, by one global sum."""

from keras import ops

from keras_performer.ops import checks, chunking, kernel_sums
from keras_performer.ops.accumulation import to_accumulation_dtype
from keras_performer.ops.attention_state import (
    AttentionState,
    DecayedState,
    check_query,
)
from keras_performer.ops.backend import chunked_scan, running_sums
from keras_performer.ops.decay import bounded_log_decay


def bidirectional_attention(
    query, key, value, feature_map, parameters, key_mask=None, chunk_size=1024
):
    """Attention of all queries to all keys in time and memory linear in the lengths.

    Features exist for one chunk of positions at a time, in the backward pass too, where
    they are computed again. So beside the inputs and the output the memory is
    O(C·M + M·D) a head. Arguments and result are those of `linear_attention`;
    `chunk_size` is C.
    """
    checks.check_shapes(query, key, value, key_mask)
    state = summarize(key, value, feature_map, parameters, key_mask, chunk_size)
    output = attend(state, query, feature_map, parameters, chunk_size)
    return ops.cast(output, value.dtype)


def summarize(
    key,
    value,
    feature_map,
    parameters,
    key_mask=None,
    chunk_size=1024,
    *,
    log_decay=None,
):
    """The state of attention after all keys: what queries need to know of them.

    Its size does not depend on the number of keys: cross-attention that decodes step
    by step keeps this instead of the source's keys and values.

    Args:
        key: Tensor of shape (B, S, Hk, D).
        value: Tensor of shape (B, S, Hk, Dv).
        feature_map: A `keras_performer.feature_maps.FeatureMap`.
        parameters: Dictionary of the map's tensors.
        key_mask: Boolean tensor of shape (B, S), or `None`.
        chunk_size: Largest number of positions whose features exist at once.
        log_decay: f of `linear_attention`, tensor of shape (B, S, Hk), where the keys
            are a causal sequence whose sums decay; or `None`.

    Returns:
        An `AttentionState`, or with `log_decay` a `DecayedState`.

    Raises:
        ValueError: If shapes do not fit or `chunk_size` is not positive.
    """
    key, value = map(ops.convert_to_tensor, (key, value))
    checks.check_shapes(key, key, value, key_mask)
    checks.check_positive("chunk_size", chunk_size)
    tensors, bound = kernel_sums.bind(feature_map, parameters)
    lengths = chunking.chunk_length(ops.shape(key)[1], chunk_size)
    chunks = chunking.split_keys(key, value, key_mask, lengths)
    log_decay = bounded_log_decay(log_decay, key, key_mask)
    if log_decay is not None:
        # From the end on: what is near it, and counts most, keeps its digits.
        until_end = ops.flip(running_sums(ops.flip(log_decay, axis=1), axis=1), axis=1)
        kept = ops.expand_dims(ops.exp(until_end - log_decay), -1)
        chunks = (*chunks, chunking.split_heads(kept, lengths, key.shape[2]))

    def accumulate(carry, chunk, shared):
        keys = chunk if log_decay is None else chunk[:-1]
        features, values = kernel_sums.weighted_keys(feature_map, bound(shared), *keys)
        values = values if log_decay is None else values * chunk[-1]
        return (carry[0] + kernel_sums.outer_sum(values, features),), ()

    sums = kernel_sums.initial_sums(*chunks[:2], feature_map, parameters)
    (sums,), _ = chunked_scan(accumulate, (sums,), chunks, tensors)
    if log_decay is None:
        return AttentionState(sums, ops.zeros_like(sums))
    return DecayedState(sums, ops.zeros_like(sums), ops.sum(log_decay, axis=1))


def attend(state, query, feature_map, parameters, chunk_size=1024):
    """Attention of queries to all the keys that a state has seen.

    Args:
        state: An `AttentionState`, from `summarize` or from a stream.
        query: Tensor of shape (B, T, H, D), with H a multiple of Hk.
        feature_map: A `keras_performer.feature_maps.FeatureMap`.
        parameters: Dictionary of the map's tensors.
        chunk_size: Largest number of positions whose features exist at once.

    Returns:
        Tensor of shape (B, T, H, Dv), float32 or float64. Rows that see no key are
        zeros.

    Raises:
        ValueError: If shapes do not fit or `chunk_size` is not positive.

    Example:

    >>> import numpy as np
    >>> from keras_performer import feature_maps
    >>> x = np.ones((2, 7, 3, 5), "float32")
    >>> relu = feature_maps.get("relu")
    >>> attend(summarize(x, x, relu, {}), x[:, :1], relu, {}).shape
    TensorShape([2, 1, 3, 5])
    """
    query = ops.convert_to_tensor(query)
    check_query(state, query, feature_map, parameters)
    checks.check_positive("chunk_size", chunk_size)
    tensors, bound = kernel_sums.bind(feature_map, parameters)
    length, heads = ops.shape(query)[1], query.shape[2]
    lengths = chunking.chunk_length(length, chunk_size)

    def attend_chunk(carry, chunk, shared):
        sums, *shared = shared
        features, _ = feature_map.queries(
            to_accumulation_dtype(chunk[0]), bound(shared)
        )
        return carry, (kernel_sums.query_sums(features, sums),)

    chunks = (chunking.split_heads(query, lengths, state.sums.shape[1]),)
    _, (outputs,) = chunked_scan(attend_chunk, (), chunks, (state.sums, *tensors))
    outputs = kernel_sums.normalize(outputs, outputs.dtype)
    return chunking.join_heads(outputs, lengths, length, heads)
