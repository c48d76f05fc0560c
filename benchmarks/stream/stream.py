"""`Stream`: a layer that reads inputs by position, span by span and step by step."""

import keras
import numpy as np
import tensorflow as tf

from benchmarks import memory
from benchmarks.stream import layer as stream_layer

# The memory of the first spans is what that of all others is compared with: they have
# made what is made once.
FIRST_SPANS = 8
# Positions that `go_on` goes on for: first a span, and then steps.
RESUMED_SPAN, RESUMED_STEPS = 500, 20


class Stream:
    """One stream through a layer, and the memory that it takes.

    Args:
        layer: What `benchmarks.stream.layer.make_layer` returned.
        span: Positions of a span.
    """

    def __init__(self, layer, span):
        self.layer = layer
        self.span = span
        self.state = layer.initial_state(batch_size=1)
        self.position = 0
        self.last_output = None
        states = keras.tree.map_structure(
            lambda part: tf.TensorSpec(part.shape, part.dtype), self.state
        )
        self.prefill, self.step = (
            tf.function(
                attend,
                input_signature=(
                    tf.TensorSpec((1, length, stream_layer.FEATURE_DIM)),
                    states,
                ),
            )
            for attend, length in ((layer.prefill, None), (layer.step, 1))
        )
        self.spans = 0
        memory.reset_peak()
        self.before = memory.resident()
        self.first_peak = None

    def tensor(self, start, end):
        """Inputs of positions from `start` to before `end`, (1, T, F)."""
        return tf.constant(stream_layer.inputs(start, end)[None])

    def prefill_until(self, end):
        """Reads to before the position `end`, in spans."""
        while self.position < end:
            self._read(self.prefill, min(self.position + self.span, end))
            self.spans += 1
            if self.spans == FIRST_SPANS:
                self.first_peak = memory.peak()
                memory.reset_peak()

    def step_until(self, end):
        """Reads to before the position `end`, one by one."""
        while self.position < end:
            self._read(self.step, self.position + 1)

    def _read(self, attend, end):
        output, self.state = attend(self.tensor(self.position, end), self.state)
        self.last_output = output[0, -1].numpy()
        self.position = end

    def go_on(self):
        """Returns outputs (T, F) of a span and some steps from here; stays here."""
        start = self.position
        x = self.tensor(start, start + RESUMED_SPAN)
        output, state = self.prefill(x, self.state)
        outputs = [output]
        for t in range(start + RESUMED_SPAN, start + RESUMED_SPAN + RESUMED_STEPS):
            output, state = self.step(self.tensor(t, t + 1), state)
            outputs.append(output)
        return tf.concat(outputs, axis=1).numpy()[0]

    def save(self, path):
        """Stores the state as arrays of NumPy."""
        np.savez(path, *(part.numpy() for part in keras.tree.flatten(self.state)))

    def load(self, path):
        """Takes up a state that `save` stored."""
        with np.load(path) as stored:
            parts = [tf.constant(part) for part in stored.values()]
        self.state = keras.tree.pack_sequence_as(self.state, parts)
        self.position = int(self.state.position[0])
