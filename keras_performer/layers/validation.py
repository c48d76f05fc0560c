"""Checks of arguments, with errors that say what was expected and what to do."""

import inspect

import keras


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


def check_choice(name, value, choices):
    """Raises a `ValueError` where a value is none of the choices."""
    if value not in choices:
        raise ValueError(
            f"`{name}` must be one of {tuple(choices)}. Received: {name}={value!r}"
        )


def axes_tuple(attention_axes):
    """Returns `attention_axes` as a tuple of ints, or `None` where there are none."""
    if attention_axes is None:
        return None
    axes = (attention_axes,) if _is_int(attention_axes) else attention_axes
    if not isinstance(axes, (tuple, list)) or not axes or not all(map(_is_int, axes)):
        raise ValueError(
            "`attention_axes` must be an int, or a tuple or list of at least one int, "
            "or `None` for all axes between the batch and the features. Received: "
            f"attention_axes={attention_axes!r}"
        )
    if 0 in axes or -1 in axes:
        raise ValueError(
            "`attention_axes` must lie between the batch, axis 0, and the features, "
            f"axis -1. Received: attention_axes={attention_axes!r}"
        )
    return tuple(axes)


def refuse_quadratic(sliding_window, flash_attention):
    """Raises a `ValueError` for what linear attention cannot do."""
    if sliding_window is not None:
        raise ValueError(
            "`sliding_window` hides all that is farther, which the sums of linear "
            "attention are there for. For exact attention to the nearest positions "
            "beside these use `exact_window`, for a window alone "
            "`keras.layers.MultiHeadAttention`. Received: sliding_window="
            f"{sliding_window}"
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
    sizes = (output_shape,) if _is_int(output_shape) else output_shape
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


def check_dropout(dropout):
    """Raises a `ValueError` where `dropout` is not a rate."""
    is_number = _is_int(dropout) or isinstance(dropout, float)
    if not is_number or not 0 <= dropout <= 1:
        raise ValueError(
            f"`dropout` must be a rate in [0, 1]. Received: dropout={dropout!r}"
        )


def check_seed(seed):
    """Raises a `ValueError` where `seed` is no seed."""
    if seed is not None and (not _is_int(seed) or seed < 0):
        raise ValueError(
            f"`seed` must be a non-negative integer or `None`. Received: seed={seed!r}"
        )


def check_rotary_base(rotary_base, key_dim):
    """Raises a `ValueError` where queries and keys cannot be rotated."""
    if rotary_base is None:
        return
    if not isinstance(rotary_base, (int, float)) or not rotary_base > 1:
        raise ValueError(
            "`rotary_base` must be a number above 1, such as 10000, or `None` for no "
            f"rotary positions. Received: rotary_base={rotary_base!r}"
        )
    if key_dim % 2:
        raise ValueError(
            "Rotary positions need an even `key_dim`: components turn in pairs. "
            f"Received: key_dim={key_dim}, rotary_base={rotary_base}"
        )


def check_gate_activation(use_gate, gate_activation):
    """Raises a `ValueError` where an activation is given for a gate that is not."""
    if not use_gate and gate_activation != "sigmoid":
        raise ValueError(
            "`gate_activation` is of the output gate, which `use_gate=True` makes. "
            f"Received: use_gate={use_gate}, gate_activation={gate_activation!r}"
        )


def refuse_one_input(query_shape, value_shape):
    """Raises a `ValueError` where a wrapper builds attention with one shape alone."""
    if value_shape is None:
        raise ValueError(
            "Attention is built for a query and a value, and a wrapper such as "
            "`keras.layers.TimeDistributed` has one input alone. Give the layer the "
            "inputs themselves, of shape (batch, time, length, features), with "
            "`attention_axes=2`: it then attends along the length, for each time by "
            f"itself. Received: query_shape={tuple(query_shape)}, value_shape=None"
        )


def refuse_ignored_methods(cls, base):
    """Raises a `ValueError` where a class overrides what nothing would call.

    Args:
        cls: A subclass of `base`.
        base: The attention layer that takes the place of Keras's.
    """
    methods = _private_methods(keras.layers.MultiHeadAttention)
    methods |= _private_methods(keras.layers.GroupQueryAttention)
    own = methods - set(dir(base))
    ignored = sorted(name for name in own if getattr(cls, name, None) is not None)
    if ignored:
        raise ValueError(
            f"The class {cls.__name__!r} overrides {', '.join(ignored)}, which "
            "`keras.layers.MultiHeadAttention` calls and this layer never does: "
            "linear attention forms no matrix of scores. Another kernel of attention "
            "is a `feature_map`; a mask is `value_mask`, `key_mask` or "
            "`use_causal_mask`; for another exact attention derive from "
            "`keras.layers.MultiHeadAttention`."
        )


def _private_methods(cls):
    """The names of a class's own methods that are not public."""
    return {
        name
        for name, value in vars(cls).items()
        if inspect.isfunction(value) and name.startswith("_") and name[1] != "_"
    }


def _is_positive(size):
    return _is_int(size) and size > 0


def _is_int(size):
    return isinstance(size, int) and not isinstance(size, bool)
