"""The quadratic truth: attention with every T×S matrix written out.

Slow and large on purpose. Each fast form is tested against these lines in float64.
"""

from keras import ops

from keras_performer.ops.accumulation import to_accumulation_dtype
from keras_performer.ops.chunking import split_heads
from keras_performer.ops.decay import bounded_log_decay, pairwise_log_decay
from keras_performer.ops.kernel_sums import LOG_WEIGHT_RANGE, inverse_or_zero


def kernel_attention_scores(
    query,
    key,
    feature_map,
    parameters,
    mask=None,
    *,
    window_size=None,
    window_log_weight=None,
    log_decay=None,
):
    """The attention matrix `D⁻¹ φ(Q) φ(K)ᵀ` of a feature map.

    The weight of a query's features cancels; that of a key's is bounded as in the fast
    forms, so that the matrix is the one that they stand for. With a window the kernel
    is `exp(q·k / √D + g)` where positions differ by less than w.

    Args:
        query: Tensor of shape (B, T, H, D).
        key: Tensor of shape (B, S, Hk, D), with H a multiple of Hk.
        feature_map: A `keras_performer.feature_maps.FeatureMap`.
        parameters: Dictionary of the map's tensors.
        mask: Boolean tensor that broadcasts to (B, H, T, S), True where a query sees
            a key, or `None`.
        window_size: w, or `None` for no window; with one, S = T.
        window_log_weight: g, tensor of shape (H,), or `None` for zeros.
        log_decay: f of `linear_attention`, tensor of shape (B, T, Hk), with zeros at
            hidden keys; or `None`.

    Returns:
        Tensor of shape (B, H, T, S). Rows that see no key are zeros.
    """
    query, key = map(to_accumulation_dtype, map(ops.convert_to_tensor, (query, key)))
    kernel, log_scale = _kernel(query, key, feature_map, parameters)
    log_factor = _log_factor(log_decay, query, key)
    if log_factor is not None:
        kernel = kernel * ops.exp(log_factor)
    if window_size is None:
        return _normalized(kernel, mask)
    key = _repeated(key, query)
    local = ops.einsum("bthd,bshd->bhts", query, key) * query.shape[-1] ** -0.5
    if window_log_weight is not None:
        local = local + ops.cast(window_log_weight, local.dtype)[:, None, None]
    if log_factor is not None:
        local = local + log_factor
    positions = ops.arange(ops.shape(key)[1])
    is_local = ops.abs(positions[:, None] - positions) < window_size
    local = ops.where(is_local, local, -float("inf"))
    if mask is not None:
        local = ops.where(mask, local, -float("inf"))
    largest = ops.max(local, axis=-1, keepdims=True)
    scale = ops.where(log_scale > largest, log_scale, largest)
    kernel = kernel * ops.exp(log_scale - scale)
    kernel = ops.where(is_local, ops.zeros_like(kernel), kernel)
    return _normalized(ops.exp(local - scale) + kernel, mask)


def kernel_attention(query, key, value, feature_map, parameters, mask=None, **window):
    """Attention with the kernel of a feature map, in O(T·S).

    Args:
        query: Tensor of shape (B, T, H, D).
        key: Tensor of shape (B, S, Hk, D), with H a multiple of Hk.
        value: Tensor of shape (B, S, Hk, Dv).
        feature_map: A `keras_performer.feature_maps.FeatureMap`.
        parameters: Dictionary of the map's tensors.
        mask: Boolean tensor that broadcasts to (B, H, T, S), or `None`.
        **window: `window_size`, `window_log_weight` and `log_decay`, as for
            `kernel_attention_scores`.

    Returns:
        Tensor of shape (B, T, H, Dv).
    """
    scores = kernel_attention_scores(
        query, key, feature_map, parameters, mask, **window
    )
    return ops.einsum("bhts,bshd->bthd", scores, _repeated(value, query))


def exact_attention_scores(query, key, mask=None, log_decay=None):
    """The attention matrix of softmax attention, `softmax(Q Kᵀ / √D)`.

    Args:
        query: Tensor of shape (B, T, H, D).
        key: Tensor of shape (B, S, Hk, D), with H a multiple of Hk.
        mask: Boolean tensor that broadcasts to (B, H, T, S), or `None`.
        log_decay: f of `linear_attention`, tensor of shape (B, T, Hk), with zeros at
            hidden keys; or `None`. Sums of it are added to the logits, which is the
            forgetting Transformer's attention, arXiv 2503.02130.

    Returns:
        Tensor of shape (B, H, T, S). Rows that see no key are zeros.
    """
    log_factor = _log_factor(log_decay, query, key)
    key = _repeated(key, query)
    logits = ops.einsum("bthd,bshd->bhts", query, key) * query.shape[-1] ** -0.5
    if log_factor is not None:
        logits = logits + ops.cast(log_factor, logits.dtype)
    if mask is not None:
        logits = ops.where(mask, logits, -1e30)
    kernel = ops.exp(logits - ops.max(logits, axis=-1, keepdims=True))
    return _normalized(kernel, mask)


def exact_attention(query, key, value, mask=None, log_decay=None):
    """Softmax attention, `softmax(Q Kᵀ / √D) V`, in O(T·S).

    Args:
        query: Tensor of shape (B, T, H, D).
        key: Tensor of shape (B, S, Hk, D), with H a multiple of Hk.
        value: Tensor of shape (B, S, Hk, Dv).
        mask: Boolean tensor that broadcasts to (B, H, T, S), or `None`.
        log_decay: f of `linear_attention`, tensor of shape (B, T, Hk), with zeros at
            hidden keys; or `None`.

    Returns:
        Tensor of shape (B, T, H, Dv). Rows that see no key are zeros.
    """
    scores = exact_attention_scores(query, key, mask, log_decay)
    return ops.einsum("bhts,bshd->bthd", scores, _repeated(value, query))


def causal_mask(length):
    """Boolean (T, T) matrix, True where a query sees a key: at and before itself."""
    return ops.tril(ops.ones((length, length), dtype="bool"))


def _kernel(query, key, feature_map, parameters):
    """`φ(q)·φ(k)` but for a factor of each query, and its log: (B, H, T, S or 1)."""
    batch, target, heads = ops.shape(query)[:3]
    source = ops.shape(key)[1]
    query = split_heads(query, (1, target), key.shape[2])[0]  # (B, Hk, G·T, D)
    key = split_heads(key, (1, source), key.shape[2])[0]
    queries, log_scale = feature_map.queries(query, parameters)
    keys, log_weight = feature_map.keys(key, parameters)
    weight = ops.exp(ops.clip(log_weight, *LOG_WEIGHT_RANGE))[:, :, None]
    kernel = ops.einsum("bhtm,bhsm->bhts", queries, keys) * weight
    kernel = ops.reshape(kernel, (batch, heads, target, source))
    return kernel, ops.reshape(log_scale, (batch, heads, target, 1))


def _log_factor(log_decay, query, key):
    """The log factors of the keys for the queries, (B, H, T, T), or `None`."""
    if log_decay is None:
        return None
    of_keys = pairwise_log_decay(bounded_log_decay(log_decay, key))
    return ops.repeat(of_keys, query.shape[2] // key.shape[2], axis=1)


def _repeated(x, query):
    """Heads of keys or values, (B, S, Hk, D), for each of the queries' H heads."""
    return ops.repeat(x, query.shape[2] // x.shape[2], axis=2)


def _normalized(kernel, mask):
    if mask is not None:
        kernel = ops.where(mask, kernel, ops.zeros_like(kernel))
    return kernel * inverse_or_zero(ops.sum(kernel, axis=-1, keepdims=True))
