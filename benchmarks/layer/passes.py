"""Whole attention layers of equal weights, and their passes as TensorFlow functions."""

import keras
import numpy as np
import tensorflow as tf

from keras_performer.layers import FastAttention

FEATURE_DIM = 512
HEADS = 8
HEAD_DIM = 64
FORWARD, TRAINING = "forward", "training step"
PASSES = (FORWARD, TRAINING)
# A step changes weights by 1e-4 of what they are, and a hundred change no timing.
LEARNING_RATE = 0.01
SEED = 1


def make_layers(num_features=None):
    """Returns both layers, with the same weights.

    The names are those of `benchmarks.attention.report`: "ours" is `FastAttention`,
    "keras_exact" is `keras.layers.MultiHeadAttention`.

    Args:
        num_features: M, or `None` for the default.
    """
    # Queries and keys of unit components: attention is not flat.
    initializer = keras.initializers.RandomNormal(stddev=FEATURE_DIM**-0.5, seed=SEED)
    sizes = {"num_heads": HEADS, "key_dim": HEAD_DIM, "name": "attention"}
    exact = keras.layers.MultiHeadAttention(**sizes, kernel_initializer=initializer)
    ours = FastAttention(**sizes, seed=SEED, num_features=num_features)
    shape = (None, None, FEATURE_DIM)
    for layer in (exact, ours):
        layer.build(shape, shape)
    source = {weight.path: weight for weight in exact.trainable_weights}
    for weight in ours.trainable_weights:
        weight.assign(source.pop(weight.path))
    if source:
        raise ValueError(f"FastAttention has no weights named {sorted(source)}")
    return {"ours": ours, "keras_exact": exact}


def make_pass(layer, pass_name, causal, jit_compile):
    """Returns a function of what `make_inputs` makes.

    Args:
        layer: A built layer.
        pass_name: `"forward"` for the output alone; `"training step"` for the loss, the
            gradients of the inputs and of the trainable weights (a list), and an update
            of the weights beside.
        causal: Whether attention is.
        jit_compile: Whether XLA compiles the whole pass.
    """

    def forward(x):
        return layer(x, x, use_causal_mask=causal)

    if pass_name == FORWARD:
        return tf.function(forward, jit_compile=jit_compile)
    weights = layer.trainable_weights
    optimizer = keras.optimizers.SGD(LEARNING_RATE)
    optimizer.build(weights)

    def training_step(x, target):
        variables = [weight.value for weight in weights]
        with tf.GradientTape() as tape:
            tape.watch(x)
            output = layer(x, x, use_causal_mask=causal, training=True)
            loss = tf.reduce_mean(tf.square(output - target))
        of_inputs, *of_weights = tape.gradient(loss, [x, *variables])
        optimizer.apply(of_weights, weights)
        return loss, of_inputs, of_weights

    return tf.function(training_step, jit_compile=jit_compile)


def make_inputs(length, pass_name):
    """Returns the inputs, and for a training step the target, of shape (1, T, F)."""
    generator = np.random.default_rng(length)
    number = 1 if pass_name == FORWARD else 2
    shape = (1, length, FEATURE_DIM)
    arrays = (generator.standard_normal(shape, np.float32) for _ in range(number))
    return [tf.constant(x) for x in arrays]
