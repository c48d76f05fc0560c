"""The masks of an attention layer: which keys count, and what passes on."""

import contextlib
import functools

from keras import ops
from keras.src import backend

from keras_performer.layers.attention_axes import compatible
from keras_performer.ops.packed import number_runs, same_run


def merge_key_masks(axes, key, value_mask, key_mask, attention_mask):
    """Returns the one key mask that the given masks amount to, or `None`.

    Args:
        axes: The layer's `AttentionAxes`.
        key: The keys, of shape (B, *axes, Fk).
        value_mask: Boolean tensor of shape (B, *axes), or `None`.
        key_mask: Boolean tensor of shape (B, *axes), or `None`.
        attention_mask: A key mask, as `check_masks` takes it, or `None`.

    Returns:
        Boolean tensor of shape (B', S), True at the keys that count, or `None`.
    """
    merged = None
    if attention_mask is not None:
        attention_mask = _as_key_mask(axes, attention_mask)
    for mask in (value_mask, key_mask, attention_mask):
        if mask is not None:
            mask = fold_mask(axes, key, mask)
            merged = mask if merged is None else ops.logical_and(merged, mask)
    return merged


def fold_mask(axes, x, mask):
    """The mask (B, *axes) of a tensor (B, *axes, F) as (B', T); `None` for `None`."""
    if mask is None:
        return None
    mask = ops.cast(mask, "bool")
    if axes.rank > 3:
        mask = ops.broadcast_to(mask, ops.shape(x)[:-1])
    return axes.fold(mask)


def check_masks(axes, query, value, query_mask, value_mask, key_mask, attention_mask):
    """Raises a `ValueError` where the shape of a mask does not fit.

    Args:
        axes: The layer's `AttentionAxes`.
        query: The queries, of shape (B, *axes, F).
        value: The values, of shape (B, *axes, Fv).
        query_mask: Boolean tensor of shape (B, *axes), or `None`.
        value_mask: Boolean tensor of shape (B, *axes), or `None`.
        key_mask: Boolean tensor of shape (B, *axes), or `None`.
        attention_mask: A key mask: of shape (B, *axes), or of the shape of the
            attention scores, with or without that of the heads, and 1 for the heads
            and for each axis of the queries; or `None`.
    """
    masks = (
        ("query_mask", query_mask, "query", query),
        ("value_mask", value_mask, "value", value),
        ("key_mask", key_mask, "key", value),
    )
    for name, mask, of, x in masks:
        if mask is not None and not _fits(axes, mask.shape, x.shape[:-1]):
            raise ValueError(
                f"`{name}` must have the shape of `{of}` without its features: "
                f"{tuple(x.shape[:-1])}. Received: {name}.shape={tuple(mask.shape)}"
            )
    if attention_mask is None:
        return
    shape = tuple(attention_mask.shape)
    squeezed = _key_mask_shape(axes, shape)
    if squeezed is None or not _fits(axes, squeezed, value.shape[:-1]):
        raise ValueError(
            "`attention_mask` must be a key mask, of shape (batch, source length) or "
            "(batch, 1, source length): linear attention never forms the matrix of "
            "queries by keys that another mask would act on. For padding pass "
            "`value_mask`, for causality `use_causal_mask=True`. Received: "
            f"attention_mask.shape={shape}, value.shape={tuple(value.shape)}"
        )


def visible(key_mask, use_causal_mask, segment_ids, target, source):
    """The (T, S) mask of a layer's call, for the attention scores alone.

    Args:
        key_mask: Boolean tensor of shape (B, S), or `None`.
        use_causal_mask: Whether a query sees only what is at or before it.
        segment_ids: Integer tensor of shape (B, T), or `None`.
        target: T.
        source: S.

    Returns:
        Boolean tensor that broadcasts to (B, H, T, S), or `None` where all is seen.
    """
    parts = []
    if key_mask is not None:
        parts.append(key_mask[:, None, None, :])
    if use_causal_mask:
        parts.append(ops.arange(target)[:, None] >= ops.arange(source))
    if segment_ids is not None:
        runs = number_runs(segment_ids)
        parts.append(same_run(runs, runs)[:, None])
    return functools.reduce(ops.logical_and, parts) if parts else None


@contextlib.contextmanager
def detached(*tensors):
    """Takes the Keras masks off tensors for a while, and puts them back.

    The projections inside attention do not support masks and would warn. Keras's own
    layer takes them off for good, so that a second layer on the same tensor sees no
    padding mask.
    """
    kept = [(x, backend.get_keras_mask(x)) for x in tensors]
    for x, _ in kept:
        backend.set_keras_mask(x, None)
    try:
        yield
    finally:
        # Reversed, as the same tensor may be given twice: its mask is its first.
        for x, mask in reversed(kept):
            backend.set_keras_mask(x, mask)


def get_keras_mask(x):
    """Returns the mask that an earlier layer attached to a tensor, or `None`."""
    return backend.get_keras_mask(x)


def set_keras_mask(x, mask):
    """Attaches a mask to a tensor, where the next layer finds it."""
    if mask is not None:
        backend.set_keras_mask(x, mask)


def _fits(axes, mask_shape, shape):
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
    if len(shape) == axes.rank - 1:
        return shape
    batch, attended = len(axes.batch), len(axes.attended)
    between = shape[batch : len(shape) - attended]
    if len(between) not in (attended, attended + 1) or set(between) != {1}:
        return None
    sizes = (*shape[:batch], *shape[len(shape) - attended :])
    order = (*axes.batch, *axes.attended)
    return tuple(sizes[order.index(axis)] for axis in range(axes.rank - 1))


def _as_key_mask(axes, mask):
    """An attention mask that `check_masks` took, as (B, *axes)."""
    if len(mask.shape) == axes.rank - 1:
        return mask
    between = range(len(axes.batch), len(mask.shape) - len(axes.attended))
    return axes.in_order(ops.squeeze(mask, axis=tuple(between)))
