"""Small blocks, their inputs and gradients, for tests of what both blocks have."""

import keras
import numpy as np
import pytest
from gradients import value_and_gradients
from layer_inputs import B, H, S, T, draw, numpy
from tolerances import assert_close

from keras_performer.layers import PerformerDecoder, PerformerEncoder

F, FS, HIDDEN = 15, 14, 23
BLOCKS = pytest.mark.parametrize("block_type", [PerformerEncoder, PerformerDecoder])


def make(block_type=PerformerEncoder, **arguments):
    defaults = {
        "intermediate_dim": HIDDEN,
        "num_heads": H,
        "num_features": 19,
        "kernel_initializer": keras.initializers.RandomNormal(stddev=0.3, seed=1),
        "bias_initializer": keras.initializers.RandomNormal(stddev=0.5, seed=2),
        "seed": 0,
        "name": "block",
    }
    block = block_type(**{**defaults, **arguments})
    is_decoder = block_type is PerformerDecoder
    block.build((None, None, F), *([(None, None, FS)] if is_decoder else []))
    return block


def inputs_of(block_type):
    x, source = draw(B, T, F), draw(B, S, FS, seed=1)
    return [x, source] if block_type is PerformerDecoder else [x]


def with_gradients(block, **arguments):
    """Output of a block, and gradients of its inputs and of its weights by path."""
    inputs = inputs_of(type(block))
    trained = block.trainable_weights
    names = [w.path for w in trained]

    def function(*tensors):
        mapping = zip(trained, tensors[len(inputs) :], strict=True)
        with keras.StatelessScope(list(mapping)):
            return block(*tensors[: len(inputs)], **arguments)

    given = [*inputs, *(numpy(w) for w in trained)]
    value, gradients = value_and_gradients(function, given, draw(B, T, F, seed=9))
    return value, dict(zip([*range(len(inputs)), *names], gradients, strict=True))


def assert_same(actual, expected):
    assert_close(actual[0], expected[0])
    assert actual[1].keys() == expected[1].keys()
    for name, gradient in expected[1].items():
        # A bias of all keys cancels in attention: what there is of it is rounding.
        if "/key/bias" not in str(name):
            assert np.any(gradient), name
            assert_close(actual[1][name], gradient)
