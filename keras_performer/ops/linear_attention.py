"""`linear_attention`: the one of the forms of attention that fits what is asked for."""

from keras import ops

from keras_performer.ops import checks
from keras_performer.ops.bidirectional import bidirectional_attention
from keras_performer.ops.causal import causal_attention
from keras_performer.ops.decay import bounded_log_decay
from keras_performer.ops.packed import packed_attention
from keras_performer.ops.streams import prefill
from keras_performer.ops.windowed import windowed_attention


def linear_attention(
    query,
    key,
    value,
    feature_map,
    parameters,
    *,
    causal=False,
    key_mask=None,
    segment_ids=None,
    window_size=None,
    window_log_weight=None,
    log_decay=None,
    initial_state=None,
):
    """Attention through a feature map, in time and memory linear in the lengths.

    `output = D⁻¹ φ(Q) (φ(K)ᵀ V)` with `D = diag(φ(Q) φ(K)ᵀ 1)`: equation 4 of
    arXiv 2009.14794; causally, each sum ends at the query's own position. Features
    exist for one chunk of positions at a time, in the backward pass too, where they are
    computed again.

    With a window of w positions, a query at t gives a key at s the weight
    `exp(q·k / √D + g)` where `|t − s| < w`, and `φ(q)·φ(k)` where it is farther; both
    are divided by their common sum. This is the sliding-window form of LoLCATs, arXiv
    2410.10254: local positions, which a model has to tell apart, are exact, and the
    cost stays linear, `O(T (w D + M D))`. The window counts positions, hidden ones too.

    With log decays f the weight of a key at s for a query at t ≥ s has the factor
    `exp(f_{s+1} + … + f_t)`: sums are multiplied by `exp(f_t)` before they get the key
    at t, which forgets, as in gated linear attention (arXiv 2312.06635, 2103.02143).
    For a key at s > t it is that of the sequence from its end to its beginning,
    `exp(f_t + … + f_{s−1})`.

    Args:
        query: Tensor of shape (B, T, H, D).
        key: Tensor of shape (B, S, Hk, D). H is a multiple of Hk: each head of keys
            and values serves H/Hk heads of queries in a row, as in grouped-query
            attention (arXiv 2305.13245). Segments and windows need a key for each
            query, S = T; causally, keys beyond T are seen by none.
        value: Tensor of shape (B, S, Hk, Dv).
        feature_map: A `keras_performer.feature_maps.FeatureMap`. With a window, one
            that estimates the softmax kernel makes both parts of one measure.
        parameters: Dictionary of the map's tensors, such as
            `{"projection": (M, D)}`.
        causal: Whether a query sees only the keys at and before its position. The
            outputs up to any position are then bit-equal whatever follows it.
        key_mask: Boolean tensor of shape (B, S), True at the keys that count; or
            `None`, where all do.
        segment_ids: Integer tensor of shape (B, T), of several sequences packed in a
            row, none of which sees another; or `None`. A new segment starts wherever
            the id changes.
        window_size: w, at least 1, or `None` for no window.
        window_log_weight: g, tensor of shape (H,), or `None` for zeros; of use with a
            window alone.
        log_decay: f, tensor of shape (B, S, Hk), at most 0, with S = T; or `None`, for
            sums that keep all. What is less than −20 counts as −20. A key that is
            hidden has none.
        initial_state: State of the positions before, from `initial_state` or `prefill`,
            to go on from causally; or `None`, where there are none.

    Returns:
        Tensor of shape (B, T, H, Dv) and `value`'s dtype. Rows that see no key are
        zeros.

    Raises:
        ValueError: If shapes do not fit, or `initial_state` is given with what it
            cannot be combined with.

    Example:

    >>> import numpy as np
    >>> from keras_performer import feature_maps
    >>> x = np.random.default_rng(0).random((1, 5, 1, 2)).astype("float32")
    >>> relu = feature_maps.get("relu")
    >>> linear_attention(x, x, x, relu, {}).shape
    TensorShape([1, 5, 1, 2])
    >>> ids = np.array([[7, 7, 7, 8, 8]])
    >>> packed = linear_attention(x, x, x, relu, {}, causal=True, segment_ids=ids)
    >>> bool(np.allclose(packed[0, 3], x[0, 3]))  # the first of its segment sees itself
    True
    """
    inputs = (query, key, value, feature_map, parameters)
    if initial_state is not None:
        _check_initial_state(initial_state, causal, segment_ids, window_size)
        output, _ = prefill(
            initial_state,
            *inputs,
            key_mask,
            window_log_weight=window_log_weight,
            log_decay=log_decay,
        )
        return output
    if log_decay is not None:
        checks.check_self_attention(query, key)
        log_decay = bounded_log_decay(log_decay, key, key_mask)
    if window_size is not None:
        window = (window_size, window_log_weight)
        return windowed_attention(
            *inputs, *window, key_mask, segment_ids, log_decay, causal=causal
        )
    if segment_ids is None and log_decay is not None and not causal:
        segment_ids = ops.zeros(ops.shape(key)[:2], dtype="int32")
    if segment_ids is not None:
        return packed_attention(
            *inputs, segment_ids, key_mask, log_decay, causal=causal
        )
    if causal:
        return causal_attention(*inputs, key_mask, log_decay)
    return bidirectional_attention(*inputs, key_mask)


def _check_initial_state(state, causal, segment_ids, window_size):
    """Raises a `ValueError` where a call cannot go on from a state."""
    if not causal:
        raise ValueError(
            "`initial_state` is the past of a causal sequence: pass `causal=True`, or "
            "attend to all that a state has seen with `ops.attend(state, query, ...)`. "
            f"Received: causal={causal}"
        )
    if segment_ids is not None:
        raise ValueError(
            "A state is of one sequence, so `segment_ids` cannot be combined with "
            "`initial_state`: start each sequence from a state of its own. Received: "
            f"segment_ids.shape={tuple(segment_ids.shape)}"
        )
    if window_size != state.window_size:
        raise ValueError(
            "`window_size` must be that of `initial_state`, from `ops.initial_state("
            f"..., window_size={window_size})`. Received: window_size={window_size}, "
            f"and a `{type(state).__name__}` of window_size={state.window_size}"
        )
