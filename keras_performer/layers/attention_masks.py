"""Masks, segments and positions of an attention call: checked, folded and merged."""

import contextlib
import functools
import math
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_performer.layers.attention_axes import compatible
from keras_performer.ops import count_positions
from keras_performer.ops.backend.keras_internals import (
    get_keras_mask,
    is_traced,
    set_keras_mask,
)
from keras_performer.ops.decay import bounded_log_decay
from keras_performer.ops.segments import number_segments, same_segment


class AttentionInputs(NamedTuple):
    """What a call attends with: projected to heads, rotated, and folded to one length.

    Attributes:
        queries: Tensor of shape (B', T, H, D).
        keys: Tensor of shape (B', S, Hk, D).
        values: Tensor of shape (B', S, Hk, Dv).
        query_mask: Boolean tensor of shape (B', T), or `None`.
        key_mask: Boolean tensor of shape (B', S), or `None`.
        segment_ids: Integer tensor of shape (B', T), or `None`.
        causal: Whether a query sees only the keys at and before its position.
        log_decay: Log decays of what was before each position, not yet zero where keys
            are hidden, (B', T, Hk); or `None`.
    """

    queries: Any
    keys: Any
    values: Any
    query_mask: Any
    key_mask: Any
    segment_ids: Any
    causal: bool
    log_decay: Any = None


def check_masks(axes, query, value, query_mask, value_mask, key_mask, attention_mask):
    """Raises a `ValueError` where a mask does not fit, in shape or in values.

    Args:
        axes: The layer's `AttentionAxes`.
        query: Tensor of shape (B, *axes, F).
        value: Tensor of shape (B, *axes, Fv).
        query_mask: Boolean tensor of shape (B, *axes), or `None`.
        value_mask: Boolean tensor of shape (B, *axes), or `None`.
        key_mask: Boolean tensor of shape (B, *axes), or `None`.
        attention_mask: A key mask, of the shape of the attention scores, with or
            without that of the heads, and 1 for the heads and for each axis of the
            queries; or `None`.
    """
    masks = (
        ("query_mask", query_mask, "query", query),
        ("value_mask", value_mask, "value", value),
        ("key_mask", key_mask, "key", value),
    )
    for name, mask, of, x in masks:
        if mask is None:
            continue
        if not _mask_fits(axes, mask.shape, x.shape[:-1]):
            raise ValueError(
                f"`{name}` must have the shape of `{of}` without its features: "
                f"{tuple(x.shape[:-1])}. Received: {name}.shape={tuple(mask.shape)}"
            )
        check_mask_values(name, mask)
    if attention_mask is None:
        return
    shape = tuple(attention_mask.shape)
    squeezed = _key_mask_shape(axes, shape)
    if squeezed is None or not _mask_fits(axes, squeezed, value.shape[:-1]):
        raise ValueError(
            "`attention_mask` must be a key mask, of shape (batch, 1, source length): "
            "linear attention never forms the matrix of queries by keys that another "
            "mask would act on, and a mask without an axis of queries could be such a "
            "matrix for the whole batch, as it is for Keras. For padding pass "
            "`value_mask`, of shape (batch, source length), for causality "
            f"`use_causal_mask=True`. Received: attention_mask.shape={shape}, "
            f"value.shape={tuple(value.shape)}"
        )
    check_mask_values("attention_mask", attention_mask)


def check_mask_values(name, mask):
    """Raises a `ValueError` where a mask of numbers is not one of zeros and ones.

    Of two conventions that share a shape: a mask that is added to attention scores has
    0 where this one is true. A boolean mask, and one whose values are not known while
    a function is traced, are taken as they are.

    Args:
        name: The argument's name.
        mask: A tensor.

    Example:

    >>> check_mask_values("mask", np.array([0.0, 1.0]))
    >>> check_mask_values("mask", np.array([0.0, -1e9]))
    Traceback (most recent call last):
    ...
    ValueError: `mask` must be boolean, or 1 at ... mask.dtype=float64, with values ...
    """
    dtype = keras.backend.standardize_dtype(mask.dtype)
    is_symbol = isinstance(mask, keras.KerasTensor) or getattr(mask, "is_meta", False)
    if dtype == "bool" or is_symbol or is_traced(mask):
        return
    values = ops.convert_to_numpy(mask).astype("float64")
    if np.all((values >= 0) & (values <= 1)):
        return
    raise ValueError(
        f"`{name}` must be boolean, or 1 at the positions that count and 0 at the "
        "others. A mask that is added to attention scores, 0 where a position counts "
        "and large and negative where not, is `mask == 0` here; token ids are `ids != "
        f"0`. Received: {name}.dtype={dtype}, with values from {np.min(values)} to "
        f"{np.max(values)}"
    )


def check_sequences(axes, query, value, segment_ids, positions, rotary_base):
    """Raises a `ValueError` where segments or positions do not fit the inputs.

    Args:
        axes: The layer's `AttentionAxes`.
        query: Tensor of shape (B, *axes, F).
        value: Tensor of shape (B, *axes, Fv).
        segment_ids: Integer tensor of shape (B, *axes), or `None`.
        positions: Integer tensor of shape (B, *axes) or (T,), T the product of the axes
            of attention, or `None`.
        rotary_base: The layer's.
    """
    if segment_ids is positions is None:
        return
    if positions is not None and rotary_base is None:
        raise ValueError(
            "`positions` are for rotary positions, which this layer has not: give it a "
            "`rotary_base`, or leave them out. Received: positions.shape="
            f"{tuple(positions.shape)}"
        )
    shape, source = tuple(query.shape[:-1]), tuple(value.shape[:-1])
    if not compatible(shape, source):
        raise ValueError(
            "`segment_ids` and `positions` are for self-attention, with a key for each "
            f"query. Received: query.shape={tuple(query.shape)}, value.shape="
            f"{tuple(value.shape)}"
        )
    attended = [shape[axis] for axis in axes.attended]
    length = None if None in attended else math.prod(attended)
    given = {"segment_ids": segment_ids, "positions": positions}
    for name, x in given.items():
        if x is None:
            continue
        check_integers(name, x)
        is_for_all = name == "positions" and has_shape(x, (length,))
        if not is_for_all and not has_shape(x, shape):
            raise ValueError(
                f"`{name}` must have the shape of `query` without its features: "
                f"{shape}. Received: {name}.shape={tuple(x.shape)}"
            )


def check_integers(name, x):
    """Raises a `ValueError` where ids or positions are of another dtype.

    Args:
        name: The argument's name.
        x: A tensor.
    """
    dtype = keras.backend.standardize_dtype(x.dtype)
    if "int" not in dtype:
        raise ValueError(
            f"`{name}` must be of integers: a layer of half precision would round "
            "others, so that neighbours become equal. Cast them, or declare them by "
            f'`keras.Input(shape, dtype="int32")`. Received: {name}.dtype={dtype}'
        )


def sequence_mask(name, mask, of, x):
    """The mask of a sequence, checked, as a boolean one.

    Args:
        name: The argument's name.
        mask: Tensor of shape (B, T), or `None`.
        of: The name of the sequence.
        x: The sequence, a tensor of shape (B, T, F).

    Returns:
        Boolean tensor of shape (B, T), or `None`.

    Raises:
        ValueError: If the mask is of another shape, or not of zeros and ones.
    """
    if mask is None:
        return None
    if not has_shape(mask, x.shape[:2]):
        raise ValueError(
            f"`{name}` must have the shape of `{of}` without its features: "
            f"{tuple(x.shape[:2])}. Received: {name}.shape={tuple(mask.shape)}"
        )
    check_mask_values(name, mask)
    return ops.cast(mask, "bool")


def has_shape(x, shape):
    """Whether a tensor has a shape, where both are known.

    Args:
        x: A tensor.
        shape: Tuple of sizes, `None` where one is not known.
    """
    return len(x.shape) == len(shape) and compatible(x.shape, shape)


def fold_mask(axes, x, mask):
    """The mask of a tensor, folded as the tensor is.

    Args:
        axes: The layer's `AttentionAxes`.
        x: Tensor of shape (B, *axes, F).
        mask: Tensor of shape (B, *axes), or `None`.

    Returns:
        Boolean tensor of shape (B', T), or `None`.
    """
    if mask is None:
        return None
    mask = ops.cast(mask, "bool")
    if axes.rank > 3:
        mask = ops.broadcast_to(mask, ops.shape(x)[:-1])
    return axes.fold(mask)


def merge_key_masks(axes, key, value_mask, key_mask, attention_mask):
    """The one key mask that the masks of a call amount to.

    Args:
        axes: The layer's `AttentionAxes`.
        key: Tensor of shape (B, *axes, Fk).
        value_mask: Boolean tensor of shape (B, *axes), or `None`.
        key_mask: Boolean tensor of shape (B, *axes), or `None`.
        attention_mask: A key mask of a shape that `check_masks` takes, or `None`.

    Returns:
        Boolean tensor of shape (B', S), True at the keys that count, or `None`.
    """
    if attention_mask is not None:
        attention_mask = _squeeze_queries(axes, attention_mask)
    masks = [fold_mask(axes, key, x) for x in (value_mask, key_mask, attention_mask)]
    return _all_of([mask for mask in masks if mask is not None])


def block_key_mask(name, padding_mask, attention_mask):
    """The one key mask that the two masks of a block's sequence amount to.

    Args:
        name: What the names of the masks begin with: `"decoder_"`, `"encoder_"` or "".
        padding_mask: Boolean tensor of shape (B, T), or `None`.
        attention_mask: Boolean tensor of shape (B, 1, T), or `None`.

    Returns:
        Boolean tensor of shape (B, T), or `None` where all positions count.

    Raises:
        ValueError: If a mask is of another shape, or not of zeros and ones.
    """
    if padding_mask is not None:
        if len(padding_mask.shape) != 2:
            raise ValueError(
                f"`{name}padding_mask` must have the shape (batch, length). Received: "
                f"{name}padding_mask.shape={tuple(padding_mask.shape)}"
            )
        check_mask_values(f"{name}padding_mask", padding_mask)
    if attention_mask is not None:
        shape = tuple(attention_mask.shape)
        if len(shape) != 3 or shape[1] != 1:
            raise ValueError(
                f"`{name}attention_mask` must be a key mask, of shape (batch, 1, "
                "length): linear attention never forms the matrix of queries by keys "
                f"that another mask would act on. Padding is `{name}padding_mask`, of "
                "shape (batch, length), causality `use_causal_mask=True`. Received: "
                f"{name}attention_mask.shape={shape}"
            )
        check_mask_values(f"{name}attention_mask", attention_mask)
        attention_mask = ops.squeeze(attention_mask, axis=1)
    masks = [mask for mask in (padding_mask, attention_mask) if mask is not None]
    return _all_of([ops.cast(mask, "bool") for mask in masks])


def visible_keys(inputs):
    """Which keys each query sees, as a mask of the attention scores.

    Args:
        inputs: The call's `AttentionInputs`.

    Returns:
        Boolean tensor that broadcasts to (B', H, T, S), or `None` where all is seen.
    """
    masks = []
    if inputs.key_mask is not None:
        masks.append(inputs.key_mask[:, None, None, :])
    if inputs.causal:
        target, source = (ops.shape(x)[1] for x in (inputs.queries, inputs.keys))
        masks.append(ops.arange(target)[:, None] >= ops.arange(source))
    if inputs.segment_ids is not None:
        segments = number_segments(inputs.segment_ids)
        masks.append(same_segment(segments, segments)[:, None])
    return _all_of(masks)


def counted_log_decay(inputs):
    """The log decays of the positions that count, and zeros at hidden keys.

    Args:
        inputs: The call's `AttentionInputs`.

    Returns:
        Tensor of shape (B', T, Hk), or `None` where nothing decays.
    """
    return bounded_log_decay(inputs.log_decay, inputs.keys, inputs.key_mask)


def rotary_positions(axes, inputs, positions):
    """Positions of queries and keys, for rotations that depend on their distance.

    Positions that are not given are counted over what the masks leave, for queries
    and keys alike: where one mask is to tell for both, or each has its own.

    Args:
        axes: The layer's `AttentionAxes`.
        inputs: The call's `AttentionInputs`.
        positions: Integer tensor of shape (B, *axes) or (T,), or `None`.

    Returns:
        Two integer tensors that broadcast to (B', T) and (B', S).
    """
    if positions is not None:
        positions = ops.convert_to_tensor(positions)
        positions = axes.fold(positions) if len(positions.shape) > 1 else positions
        return positions, positions
    heads = inputs.queries, inputs.keys
    masks = inputs.query_mask, inputs.key_mask
    is_one_sequence = inputs.causal or inputs.segment_ids is not None
    if is_one_sequence and compatible(*(x.shape[:2] for x in heads)):
        masks = inputs.key_mask, inputs.key_mask
    elif any(mask is None for mask in masks):
        masks = None, None
    return [
        _counted(ops.shape(x)[:2], mask, inputs.segment_ids)
        for x, mask in zip(heads, masks, strict=True)
    ]


@contextlib.contextmanager
def detached(*tensors):
    """Takes the Keras masks off tensors for a while, and puts them back.

    The projections inside attention do not support masks and would warn. Keras's own
    layer takes them off for good, so that a second layer on the same tensor sees no
    padding mask.

    Args:
        *tensors: Tensors, with or without a Keras mask.
    """
    kept = [(x, get_keras_mask(x)) for x in tensors]
    for x, _ in kept:
        set_keras_mask(x, None)
    try:
        yield
    finally:
        # Reversed, as the same tensor may be given twice: its mask is its first.
        for x, mask in reversed(kept):
            set_keras_mask(x, mask)


def _all_of(masks):
    """The conjunction of boolean tensors; `None` where there are none."""
    return functools.reduce(ops.logical_and, masks) if masks else None


def _counted(shape, mask, segment_ids):
    """Positions (T,) or (B', T), counted over what a mask (B', T) leaves."""
    if mask is None and segment_ids is None:
        return ops.arange(shape[1])
    mask = ops.ones(shape, "bool") if mask is None else mask
    return count_positions(mask, segment_ids)


def _mask_fits(axes, mask_shape, shape):
    """Whether a mask has a shape, or 1 where it is the same for a whole batch axis."""
    if len(mask_shape) != len(shape):
        return False
    sizes = [
        None if axis in axes.batch and size == 1 else size
        for axis, size in enumerate(mask_shape)
    ]
    return compatible(sizes, shape)


def _key_mask_shape(axes, shape):
    """What an attention mask has as a key mask, (B, *axes), or `None` if it is none."""
    batch, attended = len(axes.batch), len(axes.attended)
    between = shape[batch : len(shape) - attended]
    if len(between) not in (attended, attended + 1) or set(between) != {1}:
        return None
    sizes = (*shape[:batch], *shape[len(shape) - attended :])
    order = (*axes.batch, *axes.attended)
    return tuple(sizes[order.index(axis)] for axis in range(axes.rank - 1))


def _squeeze_queries(axes, mask):
    """An attention mask that `check_masks` took, as (B, *axes)."""
    between = range(len(axes.batch), len(mask.shape) - len(axes.attended))
    return axes.in_order(ops.squeeze(mask, axis=tuple(between)))
