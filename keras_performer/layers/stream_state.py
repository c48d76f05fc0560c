"""`StreamState`: what a causal stream through an attention layer has summed up."""

from typing import Any, NamedTuple


class StreamState(NamedTuple):
    """The sums over the positions of a stream so far, however many they are.

    A pytree of tensors whose first axis is the batch, of fixed shapes. Its parts
    (`keras.tree.flatten`) may be stored, and the stream resumed in another process by a
    layer of the same weights.

    Attributes:
        attention: `keras_performer.ops.AttentionState`, or with a window
            `keras_performer.ops.WindowedState`.
        position: How many positions have counted so far: int32 tensor of shape (B,).
    """

    attention: Any
    position: Any
