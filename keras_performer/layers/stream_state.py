"""`StreamState`: what an attention layer remembers of a stream."""

from typing import Any, NamedTuple


class StreamState(NamedTuple):
    """What an attention layer remembers of the positions so far, whatever their number.

    A pytree of tensors whose first axis is the batch, of fixed shapes. Store its parts
    (`keras.tree.flatten`) and resume in another process with a layer of the same
    weights.

    Attributes:
        attention: `keras_performer.ops.AttentionState`, or with a window
            `keras_performer.ops.WindowedState`.
        position: How many positions have counted so far: int32 tensor of shape (B,).
    """

    attention: Any
    position: Any
