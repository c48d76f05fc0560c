"""Checks of an attention layer's arguments, with errors that teach."""

import math


def check_sizes(num_heads, key_dim, value_dim):
    """Raises a `ValueError` where a size is not a positive integer."""
    check_size("num_heads", num_heads)
    check_size("key_dim", key_dim)
    check_optional_size("value_dim", value_dim)


def check_key_value_heads(num_heads, num_key_value_heads):
    """Raises a `ValueError` where heads of queries cannot share those of keys."""
    check_optional_size("num_key_value_heads", num_key_value_heads)
    if num_key_value_heads is not None and num_heads % num_key_value_heads:
        raise ValueError(
            "`num_heads` must be a multiple of `num_key_value_heads`: each head of "
            "keys and values serves as many heads of queries. Received: num_heads="
            f"{num_heads}, num_key_value_heads={num_key_value_heads}"
        )


def check_size(name, size, expected="a positive integer"):
    """Raises a `ValueError` where a size is not a positive integer."""
    if not _is_positive(size):
        raise ValueError(f"`{name}` must be {expected}. Received: {name}={size!r}")


def check_optional_size(name, size):
    """Raises a `ValueError` where a size is neither a positive integer nor `None`."""
    if size is not None:
        check_size(name, size, "a positive integer or `None`")


def refuse_quadratic(attention_axes, sliding_window, flash_attention):
    """Raises a `ValueError` for what linear attention cannot do."""
    if attention_axes not in (None, 1, (1,), [1]):
        raise ValueError(
            "`attention_axes` must be `None` or 1: attention runs over the sequence "
            "axis of (batch, length, features). Reshape the input so that the axis of "
            f"attention is the second one. Received: attention_axes={attention_axes}"
        )
    if sliding_window is not None:
        raise ValueError(
            "`sliding_window` has no linear form of this kind: a kernel's sums cannot "
            "be cut at a distance. Use `keras.layers.MultiHeadAttention` where a local "
            f"window is wanted. Received: sliding_window={sliding_window}"
        )
    if flash_attention:
        raise ValueError(
            "`flash_attention` is a way to compute exact, quadratic attention; this "
            "layer computes linear attention. Leave it at `None`, or use "
            f"`keras.layers.MultiHeadAttention`. Received: flash_attention="
            f"{flash_attention}"
        )


def shape_tuple(output_shape):
    """Returns `output_shape` as a tuple of ints, or `None` where there is none."""
    if output_shape is None:
        return None
    sizes = (output_shape,) if isinstance(output_shape, int) else output_shape
    if not isinstance(sizes, (tuple, list)) or not 1 <= len(sizes) <= 3:
        raise ValueError(
            "`output_shape` must be an int, or a tuple or list of 1 to 3 ints. "
            f"Received: output_shape={output_shape!r}"
        )
    if not all(_is_positive(size) for size in sizes):
        raise ValueError(
            "`output_shape` must be made of positive integers. Received: "
            f"output_shape={output_shape!r}"
        )
    return tuple(sizes)


def check_input_shapes(query_shape, value_shape, key_shape):
    """Raises a `ValueError` where the inputs' shapes do not fit attention."""
    key_shape = value_shape if key_shape is None else key_shape
    shapes = {"query": query_shape, "value": value_shape, "key": key_shape}
    for name, shape in shapes.items():
        if len(shape) != 3:
            raise ValueError(
                f"`{name}` must have rank 3: (batch, length, features). Received: "
                f"{name}.shape={tuple(shape)}"
            )
    if value_shape[1] != key_shape[1] and None not in (value_shape[1], key_shape[1]):
        raise ValueError(
            "`value` and `key` must have the same length. Received: value.shape="
            f"{tuple(value_shape)}, key.shape={tuple(key_shape)}"
        )


def check_dropout(dropout):
    """Raises a `ValueError` where `dropout` is not a rate."""
    if not isinstance(dropout, (int, float)) or not 0 <= dropout <= 1:
        raise ValueError(
            f"`dropout` must be a rate in [0, 1]. Received: dropout={dropout!r}"
        )


def default_num_features(head_dim):
    """`D log D`, rounded to a multiple of 64, at least 64.

    `O(D log D)` features suffice for a uniform approximation of the attention matrix
    (theorem 4 of arXiv 2009.14794).

    Example:

    >>> [default_num_features(head_dim) for head_dim in (8, 32, 64, 128)]
    [64, 128, 256, 640]
    """
    return max(64, round(head_dim * math.log(head_dim) / 64) * 64)


def _is_positive(size):
    return isinstance(size, int) and not isinstance(size, bool) and size > 0
