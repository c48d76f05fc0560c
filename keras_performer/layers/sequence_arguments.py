"""Segments and positions of a sequence, as an attention layer's call takes them."""

from keras import ops

from keras_performer.layers.attention_axes import compatible
from keras_performer.ops import count_positions


def check_sequences(query, value, segment_ids, positions):
    """Raises a `ValueError` where segments or positions do not fit the inputs.

    Args:
        query: Tensor of shape (B, *axes, F).
        value: Tensor of shape (B, *axes, Fv).
        segment_ids: Integer tensor of shape (B, *axes), or `None`.
        positions: Integer tensor of shape (B, *axes) or (T,), or `None`.
    """
    if segment_ids is positions is None:
        return
    shape, source = tuple(query.shape[:-1]), tuple(value.shape[:-1])
    if not compatible(shape, source):
        raise ValueError(
            "`segment_ids` and `positions` are for self-attention, with a key for each "
            f"query. Received: query.shape={tuple(query.shape)}, value.shape="
            f"{tuple(value.shape)}"
        )
    given = {"segment_ids": segment_ids, "positions": positions}
    for name, x in given.items():
        if x is None or (name == "positions" and _fits(x, shape[-1:])):
            continue
        if not _fits(x, shape):
            raise ValueError(
                f"`{name}` must have the shape of `query` without its features: "
                f"{shape}. Received: {name}.shape={tuple(x.shape)}"
            )


def positions_of(axes, heads, positions, masks, segment_ids, is_causal):
    """Positions of queries and keys, for rotations that depend on their distance.

    Positions that are not given are counted over what the masks leave, for queries
    and keys alike: where one mask is to tell for both, or each has its own.

    Args:
        axes: The layer's `AttentionAxes`.
        heads: Queries (B', T, H, D) and keys (B', S, Hk, D).
        positions: As for `check_sequences`.
        masks: Masks of the queries (B', T) and of the keys (B', S), or `None`.
        segment_ids: Integer tensor of shape (B', T), or `None`.
        is_causal: Whether queries and keys are of one sequence.

    Returns:
        Two integer tensors that broadcast to (B', T) and (B', S).
    """
    if positions is not None:
        positions = ops.convert_to_tensor(positions)
        positions = axes.fold(positions) if len(positions.shape) > 1 else positions
        return positions, positions
    shapes = [ops.shape(x)[:2] for x in heads]
    if is_causal and compatible(*(x.shape[:2] for x in heads)):
        masks = (masks[1], masks[1])
    elif None in (masks[0], masks[1]):
        masks = (None, None)
    return [
        _counted(shape, mask, segment_ids)
        for shape, mask in zip(shapes, masks, strict=True)
    ]


def _counted(shape, mask, segment_ids):
    if mask is None and segment_ids is None:
        return ops.arange(shape[1])
    return count_positions(
        ops.ones(shape, "bool") if mask is None else mask, segment_ids
    )


def _fits(x, shape):
    return len(x.shape) == len(shape) and compatible(x.shape, shape)
