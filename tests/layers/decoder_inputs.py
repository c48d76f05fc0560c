"""Small decoder blocks and their sources."""

import keras
from layer_inputs import B, H, S, draw

from keras_performer.layers import PerformerDecoder

F, FS, HIDDEN = 15, 11, 23  # features: H heads of 5; of the source; hidden size


def decoder(**arguments):
    defaults = {
        "intermediate_dim": HIDDEN,
        "num_heads": H,
        "num_features": 19,
        "bias_initializer": keras.initializers.RandomNormal(stddev=0.5),
        "seed": 0,
    }
    return PerformerDecoder(**{**defaults, **arguments})


def built(crossed, **arguments):
    block = decoder(**arguments)
    block.build((None, None, F), (None, None, FS) if crossed else None)
    return block


def draw_source(crossed):
    """The sources of a call, as positional arguments: one or none."""
    return [draw(B, S, FS, seed=1)] if crossed else []
