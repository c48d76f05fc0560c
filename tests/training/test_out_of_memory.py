"""Where a batch does not fit: the message names its shape and what helps, in order."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_performer.layers import FastAttention
from keras_performer.training import OutOfMemory, train_steps
from keras_performer.training.checkpoints.checkpoint import Checkpoint
from keras_performer.training.out_of_memory import is_out_of_memory


class Enormous(keras.layers.Layer):
    """Needs 2**50 bytes for batches of more than two rows."""

    def call(self, x):
        size = tf.where(tf.shape(x)[0] > 2, tf.constant(2**48, "int64"), 1)
        return x + tf.reduce_sum(tf.zeros(size[tf.newaxis]))


def model_of(*layers, **compiled):
    inputs = keras.Input((None, 4))
    x = inputs
    for layer in layers:
        x = layer(x, x) if "Attention" in type(layer).__name__ else layer(x)
    model = keras.Model(inputs, keras.layers.Dense(1)(x))
    model.compile("sgd", "mse", jit_compile=False, **compiled)
    return model


def batches_from(step):
    while True:
        rows = 3 if step > 3 else 2
        yield np.ones((rows, 7, 4)), np.ones((rows, 7, 1))
        step += 1


# TensorFlow waits ten seconds for memory before it gives up.
@pytest.mark.parametrize(
    "run_eagerly",
    [False, pytest.param(True, marks=pytest.mark.slow)],
    ids=["graph", "eager"],
)
def test_a_step_that_does_not_fit_is_explained(tmp_path, run_eagerly):
    model = model_of(Enormous(), run_eagerly=run_eagerly)
    with pytest.raises(OutOfMemory) as caught:
        train_steps(model, batches_from, 9, tmp_path, checkpoint_every=2, verbose=0)
    assert isinstance(caught.value.__cause__, tf.errors.ResourceExhaustedError)
    message = str(caught.value)
    assert "at step 4, with a batch of the shapes ((3, 7, 4), (3, 7, 1))" in message
    numbers = [int(number) for number in re.findall(r"\((\d)\) ", message)]
    assert numbers == [1, 2, 3, 4, 5]
    places = [
        message.index(remedy)
        for remedy in (
            "gradient_accumulation_steps",
            "mixed_bfloat16",
            "remat=True",
            "feedforward_chunk",
            "shorter context",
        )
    ]
    assert places == sorted(places)
    assert "FastAttention" not in message
    assert Checkpoint(tmp_path / "checkpoints").latest_step() == 4


@pytest.mark.slow
def test_a_validation_that_does_not_fit_is_explained(tmp_path):
    model = model_of(Enormous(), run_eagerly=True)
    validation = (np.ones((5, 7, 4)), np.ones((5, 7, 1)))
    with pytest.raises(OutOfMemory, match=r"validation after step 2.*\(5, 7, 4\)"):
        train_steps(
            model,
            batches_from,
            9,
            tmp_path,
            checkpoint_every=2,
            validation_data=validation,
            verbose=0,
        )


def test_exact_attention_is_named_where_it_is():
    exact = model_of(keras.layers.MultiHeadAttention(2, 4), FastAttention(2, 4))
    text = str(OutOfMemory(exact, [np.ones((2, 5))], "step 0"))
    assert "(6) `FastAttention` in place of the exact attention of 1 layers" in text
    fast = model_of(FastAttention(2, 4))
    assert "FastAttention" not in str(OutOfMemory(fast, [np.ones((2, 5))], "step 0"))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 4 bytes."), True),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB."), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), True),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried"), True),
        (tf.errors.ResourceExhaustedError(None, None, "OOM when allocating"), True),
        (tf.errors.ResourceExhaustedError(None, None, "x; No space left"), False),
        (RuntimeError("There is no room."), False),
    ],
)
def test_errors_of_memory_are_told_from_others(error, expected):
    assert is_out_of_memory(error) == expected


def test_other_errors_pass(tmp_path):
    class Broken(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            raise RuntimeError("the lamp is broken")

    with pytest.raises(RuntimeError, match="the lamp is broken"):
        train_steps(model_of(), batches_from, 3, tmp_path, callbacks=[Broken()])
