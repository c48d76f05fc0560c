"""`StreamState`: what a causal stream through an attention layer has summed up."""

from typing import Any, NamedTuple


class StreamState(NamedTuple):
    """The sums over the positions of a stream so far, however many they are.

    A pytree of tensors whose first axis is the batch, of fixed shapes. Its parts
    (`keras.tree.flatten`) may be stored, and the stream resumed in another process by a
    layer of the same weights.

    Attributes:
        attention: `keras_performer.ops.AttentionState`, or with a window
            `keras_performer.ops.WindowedState`; with a forget gate `DecayedState` or
            `DecayedWindowedState`.
        position: How many positions have counted so far: int32 tensor of shape (B,).
    """

    attention: Any
    position: Any


class BlockState(NamedTuple):
    """The state of a block whose attention has a short convolution before it.

    Attributes:
        attention: `StreamState` of its attention.
        convolution: The last inputs of its convolution, (B, width − 1, F).
    """

    attention: Any
    convolution: Any

    @property
    def position(self):
        """How many positions have counted so far, (B,)."""
        return self.attention.position
