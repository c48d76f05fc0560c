"""The check of a layer's answer and gradients: its formula, quadratic, in float64."""

import numpy as np
import tensorflow as tf

from benchmarks.layer.passes import (
    FORWARD,
    LEARNING_RATE,
    TRAINING,
    make_inputs,
    make_pass,
)
from keras_performer.layers import FastAttention
from keras_performer.ops import exact_attention, kernel_attention

# More than the chunks that fast forms are computed in, and no multiple of them.
CHECK_LENGTH = 611
CHECKED_ROWS = 5
# Root mean square of the error over that of the truth, in float32.
TOLERANCE = 1e-5
# Of the change of the weights, which loses digits where it is added to them.
UPDATE_TOLERANCE = 1e-2


class WrongAnswer(Exception):
    """A layer does not give what its formula gives."""


def check_output(layer, causal, jit_compile, length, rows):
    """Compares rows of a layer's output with its formula.

    Args:
        layer: A built layer, `FastAttention` or `keras.layers.MultiHeadAttention`.
        causal: Whether attention is.
        jit_compile: As for `make_pass`.
        length: T.
        rows: Positions to compare.

    Raises:
        WrongAnswer: If they differ by more than the tolerance.
    """
    (x,) = make_inputs(length, FORWARD)
    output = make_pass(layer, FORWARD, causal, jit_compile)(x)
    expected = attend(layer, weights_of(layer), tf.cast(x, "float64"), causal, rows)
    compare(layer, "output", tf.gather(output, rows, axis=1), expected)


def check_training_step(layer, causal, jit_compile):
    """Compares the loss, all gradients and the update of a step with the formula's.

    Args:
        layer: As for `check_output`.
        causal: Whether attention is.
        jit_compile: As for `make_pass`.

    Raises:
        WrongAnswer: If one of them differs by more than the tolerance.
    """
    inputs = make_inputs(CHECK_LENGTH, TRAINING)
    before = weights_of(layer)
    loss, of_inputs, of_weights = make_pass(layer, TRAINING, causal, jit_compile)(
        *inputs
    )
    x, target = (tf.cast(tensor, "float64") for tensor in inputs)
    with tf.GradientTape() as tape:
        tape.watch([x, before])
        output = attend(layer, before, x, causal, range(CHECK_LENGTH))
        expected_loss = tf.reduce_mean(tf.square(output - target))
    expected_of_inputs, expected = tape.gradient(expected_loss, [x, before])
    compare(layer, "loss", loss, expected_loss)
    compare(layer, "gradient of the inputs", of_inputs, expected_of_inputs)
    paths = [weight.path for weight in layer.trainable_weights]
    gradients = dict(zip(paths, of_weights, strict=True))
    # Softmax attention is the same for any bias of the keys: kernel and bias together.
    for sublayer in dict.fromkeys(path.rpartition("/")[0] for path in paths):
        of_sublayer = [path for path in paths if path.startswith(f"{sublayer}/")]
        compare(
            layer,
            f"gradient of {sublayer}",
            flat(gradients[path] for path in of_sublayer),
            flat(expected[path] for path in of_sublayer),
        )
    after = weights_of(layer)
    compare(
        layer,
        "update",
        flat(before[path] - after[path] for path in paths),
        flat(LEARNING_RATE * expected[path] for path in paths),
        UPDATE_TOLERANCE,
    )


def some_rows(length):
    """Returns a handful of positions, the first and the last among them."""
    return sorted({i * (length - 1) // (CHECKED_ROWS - 1) for i in range(CHECKED_ROWS)})


def attend(layer, weights, x, causal, rows):
    """Rows of self-attention as the formula has it.

    Args:
        layer: As for `check_output`.
        weights: What `weights_of` returned.
        x: float64 tensor of shape (1, T, F).
        causal: Whether attention is.
        rows: R positions.

    Returns:
        Tensor of shape (1, R, F).
    """
    rows = tf.constant(list(rows))
    query = project(weights, "query", tf.gather(x, rows, axis=1))
    key, value = (project(weights, name, x) for name in ("key", "value"))
    mask = rows[:, None] >= tf.range(x.shape[1]) if causal else None
    if isinstance(layer, FastAttention):
        parameters = {
            name: tf.cast(parameter, "float64")
            for name, parameter in layer.feature_parameters.items()
        }
        output = kernel_attention(
            query, key, value, layer.feature_map, parameters, mask
        )
    else:
        output = exact_attention(query, key, value, mask)
    kernel, bias = (
        weights[f"attention/attention_output/{name}"] for name in ("kernel", "bias")
    )
    return tf.einsum("bthd,hdf->btf", output, kernel) + bias


def project(weights, name, x):
    """Heads of queries, keys or values: (1, T, F) to (1, T, H, D)."""
    kernel, bias = (weights[f"attention/{name}/{x}"] for x in ("kernel", "bias"))
    return tf.einsum("btf,fhd->bthd", x, kernel) + bias


def weights_of(layer):
    """Returns a layer's trainable weights in float64, by path."""
    return {
        weight.path: tf.cast(weight.value, "float64")
        for weight in layer.trainable_weights
    }


def compare(layer, what, actual, expected, tolerance=TOLERANCE):
    """Raises `WrongAnswer` where the relative error is above the tolerance."""
    actual, expected = (np.asarray(x, np.float64) for x in (actual, expected))
    error = np.linalg.norm(actual - expected) / np.linalg.norm(expected)
    if not error <= tolerance:  # also where it is not a number
        raise WrongAnswer(
            f"{type(layer).__name__}: relative error {error:.2g} in the {what}, "
            f"expected at most {tolerance:g}."
        )


def flat(tensors):
    """Returns all elements of some tensors as one vector."""
    return tf.concat([tf.reshape(x, [-1]) for x in tensors], axis=0)
