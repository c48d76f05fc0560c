"""Causal attention with an exact window as a recurrence, in constant memory."""

from typing import Any, NamedTuple

from keras import ops

from keras_performer.ops import attention_state, checks, chunking, kernel_sums
from keras_performer.ops.near_and_far import (
    chunk_sizes,
    first_carry,
    near_and_far,
    scan,
)
from keras_performer.ops.packed import split_packed
from keras_performer.ops.windowed import near_log_weight


class WindowedState(NamedTuple):
    """What attention with a window of w positions remembers of those so far.

    Attributes:
        sums: As of `AttentionState`, of the keys that have left the window.
        lost: As of `AttentionState`.
        key: The last w − 1 keys, the oldest first: (B, Hk, w − 1, D).
        value: Their values: (B, Hk, w − 1, Dv).
        mask: 1 at the keys that count and 0 elsewhere: (B, w − 1).
    """

    sums: Any
    lost: Any
    key: Any
    value: Any
    mask: Any


def windowed_initial_state(
    batch_size,
    num_heads,
    num_features,
    head_dim,
    value_dim,
    window_size,
    dtype="float32",
):
    """The state before the first position.

    Args:
        batch_size: B.
        num_heads: Hk, heads of the keys.
        num_features: M.
        head_dim: D.
        value_dim: Dv.
        window_size: w, at least 1.
        dtype: `"float32"` or `"float64"`.

    Returns:
        A `WindowedState` of zeros.

    Raises:
        ValueError: If a size is not positive or the dtype is narrower than float32.
    """
    checks.check_positive("head_dim", head_dim)
    checks.check_positive("window_size", window_size)
    sums = attention_state.initial_state(
        batch_size, num_heads, num_features, value_dim, dtype
    )
    shape = (batch_size, num_heads, window_size - 1)
    return WindowedState(
        *sums,
        ops.zeros((*shape, head_dim), dtype=dtype),
        ops.zeros((*shape, value_dim), dtype=dtype),
        ops.zeros((batch_size, window_size - 1), dtype=dtype),
    )


def windowed_prefill(
    state,
    query,
    key,
    value,
    feature_map,
    parameters,
    window_log_weight=None,
    key_mask=None,
    chunk_size=64,
    outer_chunk_size=512,
):
    """Attention of a span, from the state before it to the state after it.

    A sequence cut into spans anywhere gives what `windowed_causal_attention` gives for
    the whole, gradients included.

    Args:
        state: A `WindowedState`; its keys tell the size of the window.
        query: Tensor of shape (B, T, H, D).
        key: Tensor of shape (B, T, Hk, D).
        value: Tensor of shape (B, T, Hk, Dv).
        feature_map: A `keras_performer.feature_maps.FeatureMap`.
        parameters: Dictionary of the map's tensors.
        window_log_weight: As for `windowed_causal_attention`.
        key_mask: Boolean tensor of shape (B, T), True at the keys that count; or
            `None`. What it hides takes a place in the window, and is not seen.
        chunk_size: As for `windowed_causal_attention`.
        outer_chunk_size: As for `windowed_causal_attention`.

    Returns:
        Output of shape (B, T, H, Dv), and the new `WindowedState`.

    Raises:
        ValueError: If shapes, sizes or the state do not fit.
    """
    query, key, value = map(ops.convert_to_tensor, (query, key, value))
    checks.check_shapes(query, key, value, key_mask)
    checks.check_self_attention(query, key)
    checks.check_positive("chunk_size", chunk_size)
    checks.check_positive("outer_chunk_size", outer_chunk_size)
    check_windowed_state(state, key, value, feature_map, parameters)
    kept, length, heads = state.key.shape[2], ops.shape(query)[1], query.shape[2]
    inner, outer = chunk_sizes(kept + 1, chunk_size, outer_chunk_size)
    lengths = chunking.inner_lengths(kept + length, outer, inner)
    whole = lengths[0] * lengths[1] * lengths[2]

    # The window's keys, then the span's, and padding on the left of both: the last
    # chunk is then full, and holds the keys that stay in the window.
    def joined(before, x):
        x = ops.concatenate([ops.swapaxes(before, 1, 2), chunking.wide(x)], axis=1)
        return _padded_on_the_left(x, whole)

    if key_mask is None:
        key_mask = ops.ones(ops.shape(key)[:2], dtype="bool")
    mask = ops.concatenate([state.mask, ops.cast(key_mask, state.mask.dtype)], axis=1)
    mask = _padded_on_the_left(mask, whole)
    log_weight = near_log_weight(window_log_weight, query)
    _, chunks = split_packed(
        _padded_on_the_left(query, whole),
        joined(state.key, key),
        joined(state.value, value),
        ops.zeros_like(mask),
        mask,
        inner,
        outer,
    )
    carry = first_carry(chunks, feature_map, parameters)._replace(sums=state.sums)
    outputs, carry = scan(chunks, carry, feature_map, parameters, kept + 1, log_weight)
    outputs = chunking.join_heads(outputs.sums, lengths, whole, heads)
    outputs = kernel_sums.normalize(outputs[:, whole - length :], value.dtype)

    left = inner - kept
    leaving = (x[:, :, None, :left] for x in (carry.key, carry.value))
    keys, values = kernel_sums.weighted_keys(
        feature_map, parameters, *leaving, carry.mask[:, None, :left]
    )
    left_over = kernel_sums.outer_sum(values, keys)[:, :, 0]
    sums = kernel_sums.accumulate(carry.sums, state.lost, left_over)
    staying = (x[:, :, left:] for x in (carry.key, carry.value))
    return outputs, WindowedState(*sums, *staying, carry.mask[:, left:])


def windowed_step(
    state,
    query,
    key,
    value,
    feature_map,
    parameters,
    window_log_weight=None,
    key_mask=None,
):
    """Attention of one position, from the state before it to the state after it.

    The query sees the keys of the window exactly, and the sums of those that left it.
    Then the oldest key leaves the window, and is added to the sums.

    Args:
        state: A `WindowedState`.
        query: Tensor of shape (B, 1, H, D).
        key: Tensor of shape (B, 1, Hk, D).
        value: Tensor of shape (B, 1, Hk, Dv).
        feature_map: A `keras_performer.feature_maps.FeatureMap`.
        parameters: Dictionary of the map's tensors.
        window_log_weight: As for `windowed_causal_attention`.
        key_mask: Boolean tensor of shape (B, 1), or `None`.

    Returns:
        Output of shape (B, 1, H, Dv), and the new `WindowedState`.

    Raises:
        ValueError: If shapes or the state do not fit, or there is not one position.
    """
    query, key, value = map(ops.convert_to_tensor, (query, key, value))
    checks.check_shapes(query, key, value, key_mask)
    checks.check_one_position(query, key)
    check_windowed_state(state, key, value, feature_map, parameters)
    heads, key_heads = query.shape[2], key.shape[2]
    if key_mask is None:
        key_mask = ops.ones(ops.shape(key)[:2], dtype="bool")
    new = (_as_inner_chunk(x, key_heads) for x in (key, value))
    new_mask = ops.cast(key_mask, state.mask.dtype)
    key, value, broken = kernel_sums.set_aside_broken(*new, new_mask[:, None])
    poison, last_poison = kernel_sums.poison(broken, heads // key_heads)

    key = ops.concatenate([state.key[:, :, None], key], axis=3)  # (B, Hk, 1, w, D)
    value = ops.concatenate([state.value[:, :, None], value], axis=3)
    mask = ops.concatenate([state.mask, new_mask], axis=1)
    query_chunk = chunking.wide(_as_inner_chunk(query, key_heads))
    log_weight = near_log_weight(window_log_weight, query)
    log_weight = ops.reshape(log_weight, (key_heads, 1, -1, 1))
    outputs = near_and_far(
        query_chunk,
        feature_map.queries(query_chunk, parameters),
        [(key, value, mask[:, None, None, None] > 0)],
        [],
        log_weight,
        state.sums[:, :, None],
    )
    outputs = kernel_sums.normalize(outputs.sums + poison, value.dtype)
    outputs = ops.reshape(outputs, (-1, 1, heads, value.shape[-1]))

    leaving = (x[:, :, :, :1] for x in (key, value))
    keys, values = kernel_sums.weighted_keys(
        feature_map, parameters, *leaving, mask[:, None, :1]
    )
    added = kernel_sums.outer_sum(values, keys)[:, :, 0] + last_poison
    sums = kernel_sums.accumulate(state.sums, state.lost, added)
    staying = (x[:, :, 0, 1:] for x in (key, value))
    return outputs, WindowedState(*sums, *staying, mask[:, 1:])


def check_windowed_state(state, key, value, feature_map, parameters):
    """Raises a `ValueError` where a state is not of these heads, features and batch.

    Args:
        state: A `WindowedState`.
        key: Tensor of shape (B, T, Hk, D).
        value: Tensor of shape (B, T, Hk, Dv).
        feature_map: A `FeatureMap`.
        parameters: Dictionary of the map's tensors.
    """
    attention_state.check_state(state, key, value, feature_map, parameters)
    batch, _, heads, head_dim = key.shape
    kept = state.key.shape[2] if len(state.key.shape) == 4 else None
    checks.check_part("key", state.key, (batch, heads, kept, head_dim))
    checks.check_part("value", state.value, (batch, heads, kept, value.shape[3]))
    checks.check_part("mask", state.mask, (batch, kept))


def _as_inner_chunk(x, key_heads):
    """One position as a chunk of one: (B, 1, Hk·G, D) to (B, Hk, 1, G, D)."""
    heads, dim = x.shape[2:]
    return ops.reshape(x, (-1, key_heads, 1, heads // key_heads, dim))


def _padded_on_the_left(x, whole):
    rest = [(0, 0)] * (len(x.shape) - 2)
    return ops.pad(x, [(0, 0), (whole - ops.shape(x)[1], 0), *rest])
