"""Causal attention as a recurrence: constant memory for a stream of any length."""

from keras import ops

from keras_performer.ops import checks, chunking, kernel_sums
from keras_performer.ops.attention_state import AttentionState, check_state
from keras_performer.ops.causal import attend_from


def prefill(
    state,
    query,
    key,
    value,
    feature_map,
    parameters,
    key_mask=None,
    chunk_size=64,
    outer_chunk_size=512,
):
    """Causal attention of a span, from the state before it to the state after it.

    A sequence cut into spans anywhere, each going on from the state of the last, gives
    what `causal_attention` gives for the whole, gradients included.

    Args:
        state: An `AttentionState`.
        query: Tensor of shape (B, T, H, D).
        key: Tensor of shape (B, T, Hk, D).
        value: Tensor of shape (B, T, Hk, Dv).
        feature_map: A `keras_performer.feature_maps.FeatureMap`.
        parameters: Dictionary of the map's tensors.
        key_mask: Boolean tensor of shape (B, T), True at the keys that count; or
            `None`, where all do. What it hides leaves the state as it is.
        chunk_size: As for `causal_attention`.
        outer_chunk_size: As for `causal_attention`.

    Returns:
        Output of shape (B, T, H, Dv), and the new `AttentionState`.

    Raises:
        ValueError: If shapes, chunk sizes or the state do not fit.
    """
    checks.check_self_attention(query, key)
    check_state(state, key, value, feature_map, parameters)
    output, parts = attend_from(
        state,
        query,
        key,
        value,
        feature_map,
        parameters,
        key_mask,
        chunk_size,
        outer_chunk_size,
    )
    return output, AttentionState(*parts)


def step(state, query, key, value, feature_map, parameters, key_mask=None):
    """Attention of one position, from the state before it to the state after it.

    `S ← S + [v, 1] φ(k)ᵀ`, then `[n, d] = φ(q) Sᵀ` and `output = n / d`: time and
    memory O(M·Dv) a head, at any position of a stream.

    Args:
        state: An `AttentionState`.
        query: Tensor of shape (B, 1, H, D).
        key: Tensor of shape (B, 1, Hk, D).
        value: Tensor of shape (B, 1, Hk, Dv).
        feature_map: A `keras_performer.feature_maps.FeatureMap`.
        parameters: Dictionary of the map's tensors.
        key_mask: Boolean tensor of shape (B, 1), or `None`. A row that it hides keeps
            its state.

    Returns:
        Output of shape (B, 1, H, Dv), and the new `AttentionState`.

    Raises:
        ValueError: If shapes or the state do not fit, or there is not one position.
    """
    query, key, value = map(ops.convert_to_tensor, (query, key, value))
    checks.check_shapes(query, key, value, key_mask)
    check_state(state, key, value, feature_map, parameters)
    checks.check_one_position(query, key)
    one = (1, 1)
    keys = (x[0] for x in chunking.split_keys(key, value, key_mask, one))
    keys, values = kernel_sums.weighted_keys(feature_map, parameters, *keys)
    query_chunk = chunking.split_heads(query, one, key.shape[2])[0]
    queries, _ = feature_map.queries(chunking.wide(query_chunk), parameters)
    parts = kernel_sums.accumulate(*state, kernel_sums.outer_sum(values, keys))
    output = kernel_sums.normalize(kernel_sums.read(queries, parts[0]), value.dtype)
    output = chunking.join_heads(output[None], one, 1, query.shape[2])
    return output, AttentionState(*parts)
