"""Layers that stream, and their outputs chunk by chunk."""

import itertools

import numpy as np
from layer_inputs import F, attention, numpy


def built(**arguments):
    layer = attention(**arguments)
    layer.build((None, None, F), (None, None, F))
    return layer


def stream(layer, x, cuts, mask=None, state=None):
    """Outputs of chunks of positions, and the last state; a chunk of one is a step."""
    state = layer.initial_state(len(x)) if state is None else state
    outputs, bounds = [], [0, *cuts, x.shape[1]]
    for start, end in itertools.pairwise(bounds):
        attend = layer.step if end - start == 1 else layer.prefill
        part = None if mask is None else mask[:, start:end]
        output, state = attend(x[:, start:end], state, mask=part)
        outputs.append(numpy(output))
    return np.concatenate(outputs, axis=1), state
