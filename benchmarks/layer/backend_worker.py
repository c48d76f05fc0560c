"""The layer on Keras's backend: answers what `benchmarks.layer.backends` asks.

Questions are lines of JSON on standard input: a feature map, if attention is causal, a
length, and what is to be computed; and for how many seconds, or where to save what is.
The first argument is the number of threads.
"""

import functools
import json
import os
import sys

THREADS = int(sys.argv[1])
# Before the backend asks how many processors there are.
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])

import keras  # noqa: E402
import numpy as np  # noqa: E402

from benchmarks.turns import turn  # noqa: E402
from keras_performer.layers import FastAttention  # noqa: E402

HEADS, HEAD_DIM, FEATURES = 8, 64, 512


@functools.lru_cache
def make_layer(feature_map):
    """A layer whose weights are a function of their shapes and places alone."""
    layer = FastAttention(HEADS, HEAD_DIM, feature_map=feature_map, name="attention")
    layer.build((1, None, FEATURES), (1, None, FEATURES))
    for index, weight in enumerate(layer.weights):
        if "seed" in weight.path:
            continue
        scale = 1 if "projection" in weight.path else FEATURES**-0.5
        values = np.random.default_rng(index).standard_normal(weight.shape)
        weight.assign(scale * values)
    return layer


def make_pass(layer, causal, with_gradients, has_xla):
    """A function of the inputs: the outputs, and where asked for the gradients."""
    backend = keras.backend.backend()
    if backend == "jax":
        return jax_pass(layer, causal, with_gradients)
    if backend == "torch":
        return torch_pass(layer, causal, with_gradients)
    return tensorflow_pass(layer, causal, with_gradients, has_xla)


def tensorflow_pass(layer, causal, with_gradients, has_xla):
    import tensorflow as tf

    @tf.function(autograph=False, jit_compile=has_xla)
    def run(x):
        weights = [weight.value for weight in layer.trainable_weights]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([x, *weights])
            output = layer(x, x, use_causal_mask=causal)
            loss = tf.reduce_mean(tf.square(output))
        if not with_gradients:
            return [output]
        return [output, *tape.gradient(loss, [x, *weights])]

    return lambda x: run(tf.constant(x))


def jax_pass(layer, causal, with_gradients):
    import jax

    trainable = [weight.value for weight in layer.trainable_weights]
    others = [weight.value for weight in layer.non_trainable_weights]

    def loss(x, trainable, others):
        output, _ = layer.stateless_call(
            trainable, others, x, x, use_causal_mask=causal
        )
        return (output**2).mean(), output

    @jax.jit
    def run(x, trainable, others):
        if not with_gradients:
            return [loss(x, trainable, others)[1]]
        gradients, output = jax.grad(loss, argnums=(0, 1), has_aux=True)(
            x, trainable, others
        )
        return [output, gradients[0], *gradients[1]]

    return lambda x: jax.block_until_ready(run(x, trainable, others))


def torch_pass(layer, causal, with_gradients):
    import torch

    torch.set_num_threads(THREADS)

    def run(x):
        x = torch.tensor(x, requires_grad=with_gradients)
        if not with_gradients:
            with torch.no_grad():
                return [layer(x, x, use_causal_mask=causal)]
        output = layer(x, x, use_causal_mask=causal)
        weights = [weight.value for weight in layer.trainable_weights]
        return [output, *torch.autograd.grad((output**2).mean(), [x, *weights])]

    return run


@functools.lru_cache
def passes(feature_map, causal, with_gradients):
    """`make_pass` of a form, made once."""
    layer = make_layer(feature_map)
    return make_pass(layer, causal, with_gradients, "--xla" in sys.argv)


def answer(feature_map, causal, length, of, seconds=None, save_to=None):
    """Computes: seconds of a turn, or nothing where the arrays are saved."""
    run = passes(feature_map, causal, of == "with backward")
    generator = np.random.default_rng(length)
    x = generator.standard_normal((1, length, FEATURES), "float32")
    if save_to is None:
        return turn(lambda: run(x), seconds)
    arrays = map(keras.ops.convert_to_numpy, run(x))
    np.savez(save_to, **{str(index): array for index, array in enumerate(arrays)})
    return {}


def main():
    """Answers until there are no more questions."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(THREADS)
        tf.config.threading.set_inter_op_parallelism_threads(THREADS)
        tf.get_logger().setLevel("ERROR")
    for question in sys.stdin:
        print(json.dumps(answer(**json.loads(question))), flush=True)
