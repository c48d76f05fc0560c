"""What it costs that sums forget: causal attention with a decay, beside without.

    python -m benchmarks.attention.forgetting

The core of causal attention from query, key and value to the output, B = 1, 8 heads of
64, float32, in a `tf.function` on a CPU: forward, and with the gradients of all inputs.
Runs with and without log decays take turns; printed is the median of the ratios of
their processor times. Before anything is timed, decays of zero must give the answer of
the form without: the exit code is 1, and nothing is printed, where they do not.
"""

import argparse
import statistics
import sys
import time

import numpy as np
import tensorflow as tf

from keras_performer import feature_maps
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
    for name in arguments.maps:
        for length in arguments.lengths:
            forms = {decays: make(name, decays) for decays in (False, True)}
            inputs = draw(length)
            if not answers_agree(forms, inputs):
                print(f"{name}, {length}: wrong answer", file=sys.stderr)
                return 1
            for what, index in (("forward", 0), ("with backward", 1)):
                ratio = measure(
                    *(form[index] for form in forms.values()), inputs, arguments.rounds
                )
                print(f"{name:<8} {length:>6} {what:<14} {ratio:.2f}", flush=True)
    return 0


def make(name, decays):
    """Functions of query, key, value and log decays: forward, and the gradients."""
    feature_map = feature_maps.get(name)
    drawn = feature_map.draw(projections.orthogonal, 0, 256, HEAD_DIM)
    parameters = feature_map.initial_parameters(HEADS, HEAD_DIM, drawn)

    @tf.function(autograph=False)
    def forward(query, key, value, log_decay):
        return linear_attention(
            query,
            key,
            value,
            feature_map,
            parameters,
            causal=True,
            log_decay=log_decay if decays else None,
        )

    @tf.function(autograph=False)
    def backward(*inputs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            total = tf.reduce_sum(forward(*inputs) ** 2)
        return tape.gradient(total, inputs[: 4 if decays else 3])

    return forward, backward


def draw(length):
    """Query, key, value, and log decays as forget gates begin with."""
    generator = np.random.default_rng(0)
    shape = (1, length, HEADS, HEAD_DIM)
    inputs = [generator.standard_normal(shape, "float32") for _ in range(3)]
    log_decay = -np.exp(-generator.uniform(2, 6, (1, length, HEADS)))
    return [tf.constant(x, "float32") for x in (*inputs, log_decay)]


def answers_agree(forms, inputs):
    """Whether decays of zero give what the form without gives."""
    *heads, log_decay = inputs
    plain, kept = (forms[d][0](*heads, tf.zeros_like(log_decay)) for d in (False, True))
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
