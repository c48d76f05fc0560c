"""Causal attention as a recurrence: constant memory for a stream of any length."""

from typing import Any, NamedTuple

from keras import ops

from keras_performer.ops import checks, chunking
from keras_performer.ops.causal import attend_from


class AttentionState(NamedTuple):
    """What attention remembers of the positions so far, whatever their number.

    Attributes:
        sums: `Σ [v, 1] φ(k)ᵀ` over the keys so far: tensor of shape
            (B, Hk, Dv + 1, M). The last row is the normalizer `Σ φ(k)`.
    """

    sums: Any


def initial_state(batch_size, num_heads, num_features, value_dim, dtype="float32"):
    """The state before the first position.

    Args:
        batch_size: B.
        num_heads: Hk, heads of the keys.
        num_features: M, features of the map (twice the rows of a projection where a
            map has two for each).
        value_dim: Dv.
        dtype: `"float32"` or `"float64"`; sums are never kept in half precision.

    Returns:
        An `AttentionState` of zeros.

    Raises:
        ValueError: If a size is not positive or the dtype is narrower than float32.

    Example:

    >>> initial_state(2, 3, num_features=8, value_dim=5).sums.shape
    TensorShape([2, 3, 6, 8])
    """
    for name, size in (
        ("num_heads", num_heads),
        ("num_features", num_features),
        ("value_dim", value_dim),
    ):
        checks.check_positive(name, size)
    if dtype not in ("float32", "float64"):
        raise ValueError(
            f"A state must be 'float32' or 'float64'. Received: dtype={dtype!r}"
        )
    shape = (batch_size, num_heads, value_dim + 1, num_features)
    return AttentionState(ops.zeros(shape, dtype=dtype))


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
    check_state(state, key, value, feature_map, parameters)
    output, sums = attend_from(
        state.sums,
        query,
        key,
        value,
        feature_map,
        parameters,
        key_mask,
        chunk_size,
        outer_chunk_size,
    )
    return output, AttentionState(sums)


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
    if query.shape[1] != 1 or key.shape[1] != 1:
        raise ValueError(
            "A step takes one position; use `prefill` for a span. Received: "
            f"query.shape={tuple(query.shape)}, key.shape={tuple(key.shape)}"
        )
    one = (1, 1)
    keys = (x[0] for x in chunking.split_keys(key, value, key_mask, one))
    keys, values = chunking.weighted_keys(feature_map, parameters, *keys)
    query_chunk = chunking.split_heads(query, one, key.shape[2])[0]
    queries, _ = feature_map.queries(chunking.wide(query_chunk), parameters)
    sums = state.sums + chunking.outer_sum(values, keys)
    output = chunking.normalize(chunking.read(queries, sums), value.dtype)
    output = chunking.join_heads(output[None], one, 1, query.shape[2])
    return output, AttentionState(sums)


def check_state(state, key, value, feature_map, parameters):
    """Raises a `ValueError` where a state is not of these heads, features and batch.

    Args:
        state: An `AttentionState`.
        key: Tensor of shape (B, T, Hk, D).
        value: Tensor of shape (B, T, Hk, Dv).
        feature_map: A `FeatureMap`.
        parameters: Dictionary of the map's tensors.
    """
    batch, _, heads, head_dim = key.shape
    size = feature_map.size(head_dim, parameters)
    expected = (batch, heads, value.shape[3] + 1, size)
    actual = tuple(state.sums.shape)
    fits = len(actual) == 4 and all(
        a is None or b is None or a == b for a, b in zip(actual, expected, strict=True)
    )
    if not fits:
        raise ValueError(
            "The state does not fit: (batch, heads, value_dim + 1, features) must be "
            f"{expected}. Received: state.sums.shape={actual}"
        )
