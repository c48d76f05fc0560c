"""States of constant size: what linear attention remembers of the keys so far."""

from typing import Any, NamedTuple

from keras import ops

from keras_performer.ops import checks


class AttentionState(NamedTuple):
    """What attention remembers of the positions so far, whatever their number.

    States of parts of a sequence add up to the state of the whole.

    Attributes:
        sums: `Σ [v, 1] φ(k)ᵀ` over the keys so far: tensor of shape
            (B, Hk, Dv + 1, M). The last row is the normalizer `Σ φ(k)`.
        compensation: Kahan compensation term, of the sums' shape: what rounding has
            made them too large by. With it a long stream does not drift.
    """

    sums: Any
    compensation: Any

    @property
    def window_size(self):
        """`None`: every key is in the sums."""
        return None


class DecayedState(NamedTuple):
    """What attention whose sums decay remembers of the positions so far.

    Attributes:
        sums: As of `AttentionState`, each key's term decayed since.
        compensation: As of `AttentionState`.
        log_decay: What the sums from before the stream have been multiplied by since:
            its logarithm, (B, Hk). The state of a sequence is that of its second part,
            and the first part's sums times the exponential of the second's `log_decay`.
    """

    sums: Any
    compensation: Any
    log_decay: Any

    @property
    def window_size(self):
        """`None`: every key is in the sums."""
        return None


class WindowedState(NamedTuple):
    """What attention with a window of w positions remembers of those so far.

    Attributes:
        sums: As of `AttentionState`, of the keys that have left the window.
        compensation: As of `AttentionState`.
        key: The last w − 1 keys, the oldest first: (B, Hk, w − 1, D).
        value: Their values: (B, Hk, w − 1, Dv).
        mask: 1 at the keys that count and 0 elsewhere: (B, w − 1).
    """

    sums: Any
    compensation: Any
    key: Any
    value: Any
    mask: Any

    @property
    def window_size(self):
        """w."""
        return self.key.shape[2] + 1


class DecayedWindowedState(NamedTuple):
    """What attention with a window remembers, where its kernels decay.

    Attributes:
        sums: As of `WindowedState`, as they were at the last key that left the window.
        compensation: As of `AttentionState`.
        key: As of `WindowedState`.
        value: As of `WindowedState`.
        mask: As of `WindowedState`.
        log_decay: The log decays at the keys' positions, (B, Hk, w − 1).
    """

    sums: Any
    compensation: Any
    key: Any
    value: Any
    mask: Any
    log_decay: Any

    @property
    def window_size(self):
        """w."""
        return self.key.shape[2] + 1


def initial_state(
    batch_size,
    num_heads,
    num_features,
    value_dim,
    dtype="float32",
    *,
    head_dim=None,
    window_size=None,
    decays=False,
):
    """The state before the first position.

    Args:
        batch_size: B.
        num_heads: Hk, heads of the keys.
        num_features: M, features of the map (twice the rows of a projection where a
            map has two for each).
        value_dim: Dv.
        dtype: `"float32"` or `"float64"`; sums are never kept in half precision.
        head_dim: D, of the keys that a window keeps; of no use without a window.
        window_size: w, as for `linear_attention`, or `None` for no window.
        decays: Whether the stream is given a `log_decay`.

    Returns:
        An `AttentionState` of zeros, or with a window a `WindowedState`; a
        `DecayedState` or `DecayedWindowedState` where it `decays`.

    Raises:
        ValueError: If a size is not positive or the dtype is narrower than float32.

    Example:

    >>> initial_state(2, 3, num_features=8, value_dim=5).sums.shape
    TensorShape([2, 3, 6, 8])
    >>> initial_state(2, 3, 8, 5, head_dim=7, window_size=4).key.shape
    TensorShape([2, 3, 3, 7])
    """
    checks.check_positive("num_heads", num_heads)
    checks.check_positive("num_features", num_features)
    checks.check_positive("value_dim", value_dim)
    if dtype not in ("float32", "float64"):
        raise ValueError(
            f"A state must be 'float32' or 'float64'. Received: dtype={dtype!r}"
        )

    def zeros(*shape):
        return ops.zeros((batch_size, *shape), dtype=dtype)

    shape = (num_heads, value_dim + 1, num_features)
    sums = zeros(*shape), zeros(*shape)
    if window_size is None:
        return (
            DecayedState(*sums, zeros(num_heads)) if decays else AttentionState(*sums)
        )
    checks.check_positive("head_dim", head_dim)
    checks.check_positive("window_size", window_size)
    kept = window_size - 1
    key, value = (zeros(num_heads, kept, dim) for dim in (head_dim, value_dim))
    if decays:
        return DecayedWindowedState(
            *sums, key, value, zeros(kept), zeros(num_heads, kept)
        )
    return WindowedState(*sums, key, value, zeros(kept))


def check_state(state, key, value, feature_map, parameters, log_decay=None):
    """Raises a `ValueError` where a state is not of these heads, features and batch.

    Args:
        state: A state of any of the types here.
        key: Tensor of shape (B, T, Hk, D).
        value: Tensor of shape (B, T, Hk, Dv).
        feature_map: A `FeatureMap`.
        parameters: Dictionary of the map's tensors.
        log_decay: Tensor of shape (B, T, Hk), or `None`.
    """
    if hasattr(state, "log_decay") != (log_decay is not None):
        raise ValueError(
            "`log_decay` goes with a state that decays, from `initial_state(..., "
            "decays=True)`, and another state goes without. Received: a "
            f"`{type(state).__name__}`, and log_decay="
            f"{None if log_decay is None else tuple(log_decay.shape)}"
        )
    batch, _, heads, head_dim = key.shape
    value_dim = value.shape[3]
    sums = (batch, heads, value_dim + 1, feature_map.size(head_dim, parameters))
    expected = {"sums": sums, "compensation": sums}
    if isinstance(state, DecayedState):
        expected["log_decay"] = (batch, heads)
    if hasattr(state, "key"):
        kept = state.key.shape[2] if len(state.key.shape) == 4 else None
        expected["key"] = (batch, heads, kept, head_dim)
        expected["value"] = (batch, heads, kept, value_dim)
        expected["mask"] = (batch, kept)
        if isinstance(state, DecayedWindowedState):
            expected["log_decay"] = (batch, heads, kept)
    for name, shape in expected.items():
        _check_part(name, getattr(state, name), shape)


def check_query(state, query, feature_map, parameters):
    """Raises a `ValueError` where queries cannot attend to what a state has seen.

    Args:
        state: An `AttentionState`.
        query: Tensor of shape (B, T, H, D).
        feature_map: A `FeatureMap`.
        parameters: Dictionary of the map's tensors.
    """
    checks.check_rank("query", query)
    batch, _, heads, head_dim = query.shape
    size = feature_map.size(head_dim, parameters)
    _check_part("sums", state.sums, (batch, None, None, size))
    if heads % state.sums.shape[1]:
        raise ValueError(
            "The heads of `query` must be a multiple of those of the state. Received: "
            f"query.shape={tuple(query.shape)}, "
            f"state.sums.shape={tuple(state.sums.shape)}"
        )


def _check_part(name, part, expected):
    """Compares a shape with the expected one, `None` where any length will do."""
    actual = tuple(part.shape)
    fits = len(actual) == len(expected) and all(
        None in (a, b) or a == b for a, b in zip(actual, expected, strict=True)
    )
    if not fits:
        raise ValueError(
            "The state does not fit: it must come from the same layer, or one of its "
            f"sizes, and be of the same batch, with `{name}` of shape {expected}. "
            f"Received: state.{name}.shape={actual}"
        )
