"""`AttentionState`: what linear attention remembers of the keys it has seen."""

from typing import Any, NamedTuple

from keras import ops

from keras_performer.ops import checks


class AttentionState(NamedTuple):
    """What attention remembers of the positions so far, whatever their number.

    States of parts of a sequence add up to the state of the whole.

    Attributes:
        sums: `Σ [v, 1] φ(k)ᵀ` over the keys so far: tensor of shape
            (B, Hk, Dv + 1, M). The last row is the normalizer `Σ φ(k)`.
        lost: What rounding has made the sums too large by, of their shape; so a long
            stream does not drift.
    """

    sums: Any
    lost: Any


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
    return AttentionState(*(ops.zeros(shape, dtype=dtype) for _ in range(2)))


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
    checks.check_part("sums", state.sums, expected)
    checks.check_part("lost", state.lost, expected)


def check_reader(state, query, feature_map, parameters):
    """Raises a `ValueError` where queries cannot read a state.

    Args:
        state: An `AttentionState`.
        query: Tensor of shape (B, T, H, D).
        feature_map: A `FeatureMap`.
        parameters: Dictionary of the map's tensors.
    """
    if len(query.shape) != 4:
        raise ValueError(
            "`query` must have rank 4: (batch, length, heads, head_dim). Received: "
            f"query.shape={tuple(query.shape)}"
        )
    batch, _, heads, head_dim = query.shape
    size = feature_map.size(head_dim, parameters)
    checks.check_part("sums", state.sums, (batch, None, None, size))
    if heads % state.sums.shape[1]:
        raise ValueError(
            "The heads of `query` must be a multiple of those of the state. Received: "
            f"query.shape={tuple(query.shape)}, "
            f"state.sums.shape={tuple(state.sums.shape)}"
        )
