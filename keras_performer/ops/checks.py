"""Checks of what attention is given, with errors that teach."""


def check_shapes(query, key, value, key_mask):
    """Raises a `ValueError` where the shapes of an attention's inputs do not fit.

    Args:
        query: Tensor of shape (B, T, H, D).
        key: Tensor of shape (B, S, Hk, D), with H a multiple of Hk.
        value: Tensor of shape (B, S, Hk, Dv).
        key_mask: Boolean tensor of shape (B, S), or `None`.
    """
    for name, x in (("query", query), ("key", key), ("value", value)):
        check_rank(name, x)
    pairs = (
        ("head_dim of `query` and `key`", query.shape[3], key.shape[3]),
        ("heads of `key` and `value`", key.shape[2], value.shape[2]),
        ("lengths of `key` and `value`", key.shape[1], value.shape[1]),
    )
    for what, a, b in pairs:
        if a is not None and b is not None and a != b:
            raise ValueError(
                f"The {what} must be equal. Received: query.shape="
                f"{tuple(query.shape)}, key.shape={tuple(key.shape)}, value.shape="
                f"{tuple(value.shape)}"
            )
    if query.shape[2] % key.shape[2]:
        raise ValueError(
            "The heads of `query` must be a multiple of those of `key`: each head of "
            "keys and values serves as many heads of queries. Received: query.shape="
            f"{tuple(query.shape)}, key.shape={tuple(key.shape)}"
        )
    if key_mask is not None and len(key_mask.shape) != 2:
        raise ValueError(
            "`key_mask` must have rank 2: (batch, source length), True at the keys "
            f"that count. Received: key_mask.shape={tuple(key_mask.shape)}"
        )


def check_rank(name, x):
    """Raises a `ValueError` where a tensor is not of shape (B, T, H, D)."""
    if len(x.shape) != 4:
        raise ValueError(
            f"`{name}` must have rank 4: (batch, length, heads, head_dim). "
            f"Received: {name}.shape={tuple(x.shape)}"
        )


def check_positive(name, size):
    """Raises a `ValueError` where a size is not a positive integer."""
    if not isinstance(size, int) or size <= 0:
        raise ValueError(f"`{name}` must be a positive integer. Received: {size!r}")


def check_self_attention(query, key):
    """Raises a `ValueError` where there is not a key for each query."""
    if None not in (query.shape[1], key.shape[1]) and query.shape[1] != key.shape[1]:
        raise ValueError(
            "A stream, packed sequences and windows need a key for each query. "
            f"Received: query.shape={tuple(query.shape)}, key.shape={tuple(key.shape)}"
        )


def check_log_decay(log_decay, key):
    """Raises a `ValueError` where log decays are not of the keys' positions and heads.

    Args:
        log_decay: Tensor, or `None`.
        key: Tensor of shape (B, T, Hk, D).
    """
    if log_decay is None:
        return
    expected, actual = tuple(key.shape[:3]), tuple(log_decay.shape)
    fits = len(actual) == 3 and all(
        None in (a, b) or a == b for a, b in zip(actual, expected, strict=True)
    )
    if not fits:
        raise ValueError(
            "`log_decay` must have a number for each position and each head of keys: "
            f"shape {expected}. Received: log_decay.shape={actual}"
        )


def check_one_position(query, key):
    """Raises a `ValueError` where there is not one query and one key."""
    if query.shape[1] != 1 or key.shape[1] != 1:
        raise ValueError(
            "A step takes one position; use `prefill` for a span. Received: "
            f"query.shape={tuple(query.shape)}, key.shape={tuple(key.shape)}"
        )
