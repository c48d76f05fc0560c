"""A small causal model and its batches, each a function of its step, for trainings."""

import sys

import keras
import numpy as np

from keras_performer.layers import FastAttention
from keras_performer.training import performer_optimizer, train_steps

VOCABULARY_SIZE = 11
# A draw of projections and an update fall between two checkpoints, and on none.
SETTINGS = {"num_steps": 10, "checkpoint_every": 4, "redraw_interval": 2, "verbose": 0}


def small_model(seed=0, mode="eager"):
    """A compiled model with dropout, whose optimizer accumulates three gradients.

    Tracing takes longer than a few steps do: `mode="graph"` is for slow tests.
    """
    keras.utils.set_random_seed(seed)
    ids = keras.Input((None,), dtype="int32")
    x = keras.layers.Embedding(VOCABULARY_SIZE, 8)(ids)
    x = keras.layers.Dropout(0.2, seed=seed)(x)
    x = FastAttention(2, 4, num_features=4, seed=seed)(x, x, use_causal_mask=True)
    logits = keras.layers.Dense(VOCABULARY_SIZE, dtype="float32")(x)
    model = keras.Model(ids, logits)
    model.compile(
        performer_optimizer(1e-2, gradient_accumulation_steps=3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=False,
        run_eagerly=mode == "eager",
    )
    return model


def batch_of(step):
    """The batch of a step: inputs and targets of shape (3, 5)."""
    ids = np.random.default_rng(step).integers(1, VOCABULARY_SIZE, (3, 6))
    return ids[:, :-1].astype("int32"), ids[:, 1:].astype("int32")


def batches_from(step):
    """An endless generator of batches from a step on."""
    while True:
        yield batch_of(step)
        step += 1


def state(model):
    """All numbers of a training: weights, projections, dropout, optimizer."""
    return [
        keras.ops.convert_to_numpy(variable)
        for variable in [*model.variables, *model.optimizer.variables]
    ]


if __name__ == "__main__":
    train_steps(
        small_model(mode=sys.argv[2]), batches_from, folder=sys.argv[1], **SETTINGS
    )
