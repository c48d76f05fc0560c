"""What it costs that sums forget: causal attention with a decay, beside without.

    python -m benchmarks.attention.forgetting

Of the core, from query, key and value to the output, and of the layer, from inputs of
512 features on, with `forget_gate` and without. B = 1, 8 heads of 64, float32, in a
`tf.function` on a CPU: forward, and with the gradients of all inputs and weights. Runs
with and without decays take turns; printed is the median of the ratios of their
processor times. Before anything is timed, what forgets nothing must give the answer of
the form without: the exit code is 1, and nothing is printed, where it does not.
"""

import argparse
import statistics
import sys
import time

import numpy as np
import tensorflow as tf

from keras_performer import feature_maps
from keras_performer.layers import FastAttention
from keras_performer.ops import linear_attention, projections

HEADS, HEAD_DIM = 8, 64
TOLERANCE = 1e-5


def main(arguments=None):
    """Checks, measures and prints; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lengths", nargs="+", type=int, default=[2048, 8192])
    parser.add_argument("--maps", nargs="+", default=["softmax", "relu"])
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args(arguments)
    for what, make in (("core", make_cores), ("layer", make_layers)):
        for name in arguments.maps:
            for length in arguments.lengths:
                plain, forgetting, inputs, agree = make(name, length)
                if not agree:
                    print(f"{what}, {name}, {length}: wrong answer", file=sys.stderr)
                    return 1
                for function, index in (("forward", 0), ("with backward", 1)):
                    ratio = measure(
                        plain[index], forgetting[index], inputs, arguments.rounds
                    )
                    print(
                        f"{what:<6} {name:<8} {length:>6} {function:<14} {ratio:.2f}",
                        flush=True,
                    )
    return 0


def make_cores(name, length):
    """The passes of sums that keep all and of sums that forget.

    Returns:
        Pairs of functions, forward and with the gradients: without decays, and with;
        their inputs; and whether decays of zero give what the form without gives.
    """
    feature_map = feature_maps.get(name)
    drawn = feature_map.draw(projections.orthogonal, 0, 256, HEAD_DIM)
    parameters = feature_map.initial_parameters(HEADS, HEAD_DIM, drawn)
    *heads, log_decay = inputs = draw(length)

    def attend(query, key, value, log_decay=None):
        return linear_attention(
            query,
            key,
            value,
            feature_map,
            parameters,
            causal=True,
            log_decay=log_decay,
        )

    plain = passes(lambda query, key, value, unused: attend(query, key, value))
    forgetting = passes(attend)
    kept = forgetting[0](*heads, tf.zeros_like(log_decay))
    return plain, forgetting, inputs, is_close(kept, plain[0](*inputs))


def make_layers(name, length):
    """As `make_cores`, of `FastAttention` without `forget_gate` and with it."""
    inputs = tf.constant(
        np.random.default_rng(0).standard_normal(
            (1, length, HEADS * HEAD_DIM), "float32"
        )
    )
    sizes = {"num_heads": HEADS, "key_dim": HEAD_DIM, "name": "attention"}
    plain, forgetting = (
        FastAttention(**sizes, feature_map=name, seed=0, forget_gate=forgets)
        for forgets in (False, True)
    )
    for layer in (plain, forgetting):
        layer.build(inputs.shape, inputs.shape)
    weights = {weight.path: weight for weight in forgetting.weights}
    for weight in plain.weights:
        weights.pop(weight.path).assign(weight)
    drawn = {path: weight.numpy() for path, weight in weights.items()}
    for weight in weights.values():  # an open gate: it forgets nothing
        weight.assign(tf.fill(weight.shape, 40.0 if len(weight.shape) == 1 else 0.0))
    kept, expected = (
        layer(inputs, inputs, use_causal_mask=True) for layer in (forgetting, plain)
    )
    for path, weight in weights.items():
        weight.assign(drawn[path])
    both = (
        passes(lambda x, layer=layer: layer(x, x, use_causal_mask=True), layer)
        for layer in (plain, forgetting)
    )
    return *both, [inputs], is_close(kept, expected)


def passes(attend, layer=None):
    """Functions of inputs: forward, and the gradients of them and of weights."""
    forward = tf.function(attend, autograph=False)
    weights = [] if layer is None else [w.value for w in layer.trainable_weights]

    @tf.function(autograph=False)
    def backward(*inputs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            total = tf.reduce_sum(forward(*inputs) ** 2)
        return tape.gradient(total, [*inputs, *weights])

    return forward, backward


def draw(length):
    """Query, key, value, and log decays as forget gates begin with."""
    generator = np.random.default_rng(0)
    shape = (1, length, HEADS, HEAD_DIM)
    inputs = [generator.standard_normal(shape, "float32") for _ in range(3)]
    log_decay = -np.exp(-generator.uniform(2, 6, (1, length, HEADS)))
    return [tf.constant(x, "float32") for x in (*inputs, log_decay)]


def is_close(kept, plain):
    """Whether what forgets nothing gives what the form without gives."""
    return np.max(np.abs(plain - kept)) <= TOLERANCE * np.max(np.abs(plain))


def measure(plain, decayed, inputs, rounds):
    """The median of the ratios of processor times, of runs in turn."""
    ratios = []
    for form in (plain, decayed):
        form(*inputs)
    for _ in range(rounds):
        seconds = []
        for form in (plain, decayed):
            start = time.process_time()
            form(*inputs)
            seconds.append(time.process_time() - start)
        ratios.append(seconds[1] / seconds[0])
    return statistics.median(ratios)


if __name__ == "__main__":
    sys.exit(main())
