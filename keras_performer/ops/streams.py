"""Causal attention as a recurrence: constant memory for a stream of any length."""

from keras import ops

from keras_performer.ops import checks, chunking, kernel_sums
from keras_performer.ops.accumulation import (
    kahan_add,
    to_accumulation_dtype,
)
from keras_performer.ops.attention_state import (
    AttentionState,
    DecayedState,
    check_state,
)
from keras_performer.ops.backend import running_sums
from keras_performer.ops.causal import attend_from
from keras_performer.ops.decay import bounded_log_decay, from_start, to_end
from keras_performer.ops.nonfinite import nan_after_nonfinite, zero_nonfinite
from keras_performer.ops.packed import split_packed
from keras_performer.ops.windowed import local_log_weight
from keras_performer.ops.windowed_chunks import (
    chunk_sizes,
    first_carry,
    local_and_global_sums,
    scan,
)


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
    *,
    window_log_weight=None,
    log_decay=None,
):
    """Causal attention of a span, from the state before it to the state after it.

    A sequence cut into spans anywhere, each going on from the state of the last, gives
    what `linear_attention` with `causal=True` gives for the whole, gradients included.

    Args:
        state: A state from `initial_state`, `prefill` or `step`, whose keys, if it has
            some, tell the size of the window.
        query: Tensor of shape (B, T, H, D).
        key: Tensor of shape (B, T, Hk, D).
        value: Tensor of shape (B, T, Hk, Dv).
        feature_map: A `keras_performer.feature_maps.FeatureMap`.
        parameters: Dictionary of the map's tensors.
        key_mask: Boolean tensor of shape (B, T), True at the keys that count; or
            `None`, where all do. What it hides is not seen; it is in no sums, and takes
            a place in a window.
        chunk_size: C, positions of an inner chunk, whose C×C products are formed; as
            many as the window has where that is longer.
        outer_chunk_size: Largest number of positions whose features exist at once, a
            multiple of `chunk_size`.
        window_log_weight: g of `linear_attention`, tensor of shape (H,), or `None` for
            zeros; of use with a window alone.
        log_decay: f of `linear_attention`, tensor of shape (B, T, Hk), for a state that
            decays; or `None`.

    Returns:
        Output of shape (B, T, H, Dv) and `value`'s dtype, and the new state.

    Raises:
        ValueError: If shapes, chunk sizes or the state do not fit.

    Example:

    >>> import numpy as np
    >>> from keras_performer import feature_maps
    >>> from keras_performer.ops import initial_state, linear_attention
    >>> x = np.random.default_rng(0).random((1, 9, 1, 4), "float32")
    >>> relu = feature_maps.get("relu")
    >>> whole = linear_attention(x, x, x, relu, {}, causal=True)
    >>> state = initial_state(1, 1, num_features=4, value_dim=4)
    >>> first, state = prefill(state, *[x[:, :8]] * 3, relu, {})
    >>> last, state = step(state, *[x[:, 8:]] * 3, relu, {})
    >>> bool(np.allclose(whole[:, 8:], last, atol=1e-6))
    True
    """
    query, key, value = map(ops.convert_to_tensor, (query, key, value))
    checks.check_shapes(query, key, value, key_mask)
    checks.check_self_attention(query, key)
    check_state(state, key, value, feature_map, parameters, log_decay)
    log_decay = bounded_log_decay(log_decay, key, key_mask)
    keys = (key, value, feature_map, parameters, key_mask, log_decay)
    sizes = {"chunk_size": chunk_size, "outer_chunk_size": outer_chunk_size}
    if state.window_size is not None:
        return _windowed_prefill(state, query, *keys, window_log_weight, **sizes)
    output, sums = attend_from(state[:2], query, *keys, **sizes)
    return output, _after(state, sums, log_decay)


def step(
    state,
    query,
    key,
    value,
    feature_map,
    parameters,
    key_mask=None,
    *,
    window_log_weight=None,
    log_decay=None,
):
    """Attention of one position, from the state before it to the state after it.

    `S ← exp(f) S + [v, 1] φ(k)ᵀ`, then `[n, d] = φ(q) Sᵀ` and `output = n / d`: time
    and memory O(M·Dv) a head, at any position of a stream. With a window the query sees
    its keys exactly, and the sums of those that left it; then the oldest key leaves,
    and is added to the sums.

    Args:
        state: A state from `initial_state`, `prefill` or `step`.
        query: Tensor of shape (B, 1, H, D).
        key: Tensor of shape (B, 1, Hk, D).
        value: Tensor of shape (B, 1, Hk, Dv).
        feature_map: A `keras_performer.feature_maps.FeatureMap`.
        parameters: Dictionary of the map's tensors.
        key_mask: Boolean tensor of shape (B, 1), or `None`. A row that it hides keeps
            its sums.
        window_log_weight: As for `prefill`.
        log_decay: f of `linear_attention`, tensor of shape (B, 1, Hk), for a state that
            decays; or `None`.

    Returns:
        Output of shape (B, 1, H, Dv), and the new state.

    Raises:
        ValueError: If shapes or the state do not fit, or there is not one position.
    """
    query, key, value = map(ops.convert_to_tensor, (query, key, value))
    checks.check_shapes(query, key, value, key_mask)
    checks.check_one_position(query, key)
    check_state(state, key, value, feature_map, parameters, log_decay)
    log_decay = bounded_log_decay(log_decay, key, key_mask)
    inputs = (
        state,
        query,
        key,
        value,
        feature_map,
        parameters,
        key_mask,
        log_decay,
    )
    if state.window_size is not None:
        return _windowed_step(*inputs, window_log_weight)
    return _step(*inputs)


def _step(state, query, key, value, feature_map, parameters, key_mask, log_decay):
    one = (1, 1)
    keys = (x[0] for x in chunking.split_keys(key, value, key_mask, one))
    keys, values = kernel_sums.weighted_keys(feature_map, parameters, *keys)
    query_chunk = chunking.split_heads(query, one, key.shape[2])[0]
    queries, _ = feature_map.queries(to_accumulation_dtype(query_chunk), parameters)
    before = state[:2]
    if log_decay is not None:
        kept = ops.exp(log_decay[:, 0, :, None, None])  # (B, Hk, 1, 1)
        before = tuple(x * kept for x in before)
    sums = kahan_add(*before, kernel_sums.outer_sum(values, keys))
    output = kernel_sums.query_sums(queries, sums[0])
    output = kernel_sums.normalize(output, value.dtype)
    output = chunking.join_heads(output[None], one, 1, query.shape[2])
    return output, _after(state, sums, log_decay)


def _after(state, sums, log_decay):
    """The state of new sums and their compensation."""
    if log_decay is None:
        return AttentionState(*sums)
    return DecayedState(*sums, state.log_decay + ops.sum(log_decay, axis=1))


def _windowed_prefill(
    state,
    query,
    key,
    value,
    feature_map,
    parameters,
    key_mask,
    log_decay,
    log_weight,
    **sizes,
):
    kept, length, heads = state.key.shape[2], ops.shape(query)[1], query.shape[2]
    sizes = chunk_sizes(state.window_size, **sizes)
    lengths = chunking.inner_lengths(kept + length, **sizes)
    whole = lengths[0] * lengths[1] * lengths[2]

    # The window's keys, then the span's, and padding on the left of both: the last
    # chunk is then full, and holds the keys that stay in the window.
    def joined(before, x):
        before, x = ops.swapaxes(before, 1, 2), to_accumulation_dtype(x)
        return _padded_on_the_left(ops.concatenate([before, x], axis=1), whole)

    mask = ops.concatenate([state.mask, _float_mask(key_mask, key, state)], axis=1)
    mask = _padded_on_the_left(mask, whole)
    if log_decay is not None:
        log_decay = joined(state.log_decay, log_decay)
    log_weight = local_log_weight(log_weight, query)
    _, chunks = split_packed(
        _padded_on_the_left(query, whole),
        joined(state.key, key),
        joined(state.value, value),
        ops.zeros_like(mask),
        mask,
        log_decay,
        **sizes,
    )
    carry = first_carry(chunks, feature_map, parameters)._replace(sums=state.sums)
    outputs, carry = scan(
        chunks, carry, feature_map, parameters, state.window_size, log_weight
    )
    outputs = chunking.join_heads(outputs.sums, lengths, whole, heads)
    outputs = kernel_sums.normalize(outputs[:, whole - length :], value.dtype)

    # What the sums are too large by has decayed as they have.
    compensation = state.compensation
    if log_decay is not None:
        before_last = ops.sum(log_decay[:, : whole - lengths[-1]], axis=1)
        compensation = compensation * ops.exp(before_last)[..., None, None]
    state = state._replace(sums=carry.sums, compensation=compensation)
    keys = (carry.key, carry.value, carry.mask, carry.log_decay)
    number = lengths[-1] - kept
    return outputs, _let_leave(state, number, keys, feature_map, parameters)


def _windowed_step(
    state,
    query,
    key,
    value,
    feature_map,
    parameters,
    key_mask,
    log_decay,
    log_weight,
):
    heads, key_heads = query.shape[2], key.shape[2]
    new_mask = _float_mask(key_mask, key, state)
    new, nonfinite = zero_nonfinite(
        chunking.Chunks(
            *(_as_inner_chunk(x, key_heads) for x in (query, key, value)),
            new_mask[:, None],
            log_decay=None if log_decay is None else log_decay[:, 0, :, None, None],
        )
    )
    nan, last_nan = nan_after_nonfinite(nonfinite, new.groups)

    key = ops.concatenate([state.key[:, :, None], new.key], axis=3)  # (B, Hk, 1, w, D)
    value = ops.concatenate([state.value[:, :, None], new.value], axis=3)
    mask = ops.concatenate([state.mask, new_mask], axis=1)
    log_factor, sees_before = None, 1
    if log_decay is not None:
        log_decay = ops.concatenate([state.log_decay, new.log_decay[:, :, 0]], axis=2)
        cumulative = running_sums(log_decay, axis=-1)[:, :, None]  # (B, Hk, 1, w)
        log_factor = ops.expand_dims(cumulative[..., -1:] - cumulative, -2)
        sees_before = from_start(cumulative[..., -1:], new.groups)
    query_chunk = to_accumulation_dtype(new.query)
    log_weight = local_log_weight(log_weight, query)
    log_weight = ops.reshape(log_weight, (key_heads, 1, -1, 1))
    outputs = local_and_global_sums(
        query_chunk,
        feature_map.queries(query_chunk, parameters),
        [(key, value, mask[:, None, None, None] > 0, log_factor)],
        [],
        log_weight,
        state.sums[:, :, None],
        sees_before,
    )
    outputs = kernel_sums.normalize(outputs.sums + nan, value.dtype)
    outputs = ops.reshape(outputs, (-1, 1, heads, value.shape[-1]))

    state = state._replace(sums=state.sums + last_nan)
    keys = (key[:, :, 0], value[:, :, 0], mask, log_decay)
    return outputs, _let_leave(state, 1, keys, feature_map, parameters)


def _let_leave(state, number, keys, feature_map, parameters):
    """The state after the oldest keys have left the window for the sums.

    Args:
        state: The state, with its sums as they were before the oldest key.
        number: How many keys leave.
        keys: Keys (B, Hk, L, D), values (B, Hk, L, Dv), mask (B, L) and log decays
            (B, Hk, L) or `None`.
        feature_map: A `FeatureMap`.
        parameters: Dictionary of its tensors.
    """
    key, value, mask, log_decay = keys
    keys, values = kernel_sums.weighted_keys(
        feature_map,
        parameters,
        key[:, :, None, :number],
        value[:, :, None, :number],
        mask[:, None, :number],
    )
    sums = (state.sums, state.compensation)
    staying = (key[:, :, number:], value[:, :, number:], mask[:, number:])
    if log_decay is not None:
        cumulative = running_sums(log_decay[:, :, None, :number], axis=-1)
        values = values * to_end(cumulative)
        kept = ops.exp(ops.sum(log_decay[:, :, :number], axis=-1))[..., None, None]
        sums = tuple(x * kept for x in sums)
        staying = (*staying, log_decay[:, :, number:])
    sums = kahan_add(*sums, kernel_sums.outer_sum(values, keys)[:, :, 0])
    return type(state)(*sums, *staying)


def _float_mask(key_mask, key, state):
    """The mask (B, T) of new keys, in the dtype of the state's."""
    if key_mask is None:
        key_mask = ops.ones(ops.shape(key)[:2], dtype="bool")
    return ops.cast(key_mask, state.mask.dtype)


def _as_inner_chunk(x, key_heads):
    """One position as a chunk of one: (B, 1, Hk·G, D) to (B, Hk, 1, G, D)."""
    heads, dim = x.shape[2:]
    return ops.reshape(x, (-1, key_heads, 1, heads // key_heads, dim))


def _padded_on_the_left(x, whole):
    rest = [(0, 0)] * (len(x.shape) - 2)
    return ops.pad(x, [(0, 0), (whole - ops.shape(x)[1], 0), *rest])
