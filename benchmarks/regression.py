"""What a change made slower: points beside the last record of this kind of processor.

    python -m benchmarks.regression [--output regression.json] [--update]

Each point takes turns with a workload that never changes, a square product and as many
exponentials, and is given in its processor time: a busy machine slows both. Points are
printed and written as they are measured, and a rerun goes on. Nothing here passes or
fails; a change of more than twice its standard error is marked.
"""

import argparse
import json
import math
import pathlib
import re
import statistics

import keras
import numpy as np
import tensorflow as tf

from benchmarks import processor, results, turns
from keras_performer import feature_maps
from keras_performer.layers import FastAttention
from keras_performer.models import (
    PerformerBackbone,
    PerformerCausalLM,
    PerformerTextClassifier,
)
from keras_performer.ops import linear_attention, projections

RECORDS = pathlib.Path(__file__).with_name("records")
HEADS, HEAD_DIM, FEATURES = 8, 64, 256
VOCABULARY, NUM_CLASSES = 8192, 8


def main(arguments=None):
    """Measures the points that are not yet in the results, and prints them."""
    arguments = parse(arguments)
    kind = processor.describe()
    record_path = (
        RECORDS / f"{re.sub(r'[^a-z0-9]+', '_', kind.lower()).strip('_')}.json"
    )
    record = {}
    if record_path.exists():
        record = json.loads(record_path.read_text(encoding="utf-8"))["points"]
    of_command = {"processor": kind, "seconds": arguments.seconds}
    measured = results.start(arguments.output, of_command, points={})
    print(f"{kind}\n{'point':<62}{'references':>11}{'error':>8}   since the record")
    for name, make in POINTS.items():
        if arguments.names and name not in arguments.names:
            continue
        if name not in measured["points"]:
            measured["points"][name] = measure(make(), arguments.seconds)
            results.write(arguments.output, measured)
        print(line(name, measured["points"][name], record.get(name)), flush=True)
    if arguments.update:
        measured["points"] = {**record, **measured["points"]}
        results.write(record_path, measured)
        print(f"The record is now {record_path}")


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--output", type=pathlib.Path, default=pathlib.Path("regression.json")
    )
    parser.add_argument("--names", nargs="+", choices=POINTS, metavar="POINT")
    parser.add_argument("--seconds", type=float, default=8.0, help="of turns a point")
    parser.add_argument(
        "--update", action="store_true", help="make these figures the record"
    )
    return parser.parse_args(arguments)


def measure(run, seconds):
    """The median of a point in references, and the standard error of that median.

    Args:
        run: Function that runs the point once.
        seconds: How long turns are taken.

    Returns:
        Dictionary of `references` and `error`, a share of them.
    """
    reference = make_reference()
    for each in (run, reference):
        each()
        each()
    times = turns.take_turns(
        {"point": lambda: turns.turn(run), "reference": lambda: turns.turn(reference)},
        rounds=200,
        seconds=seconds,
    )
    pairs = zip(*(times[name]["cpu_seconds"] for name in times), strict=True)
    ratios = [point / reference for point, reference in pairs]
    lower, median, upper = statistics.quantiles(ratios, n=4)
    deviation = (upper - lower) / 1.349  # of normally distributed numbers
    error = math.sqrt(math.pi / 2 / len(ratios)) * deviation
    return {"references": median, "error": error / median}


def line(name, point, before):
    """A line of the table; a change of more than twice its error has a mark."""
    text = f"{name:<62}{point['references']:>11.3f}{point['error']:>8.1%}"
    if before is None:
        return f"{text}   no record"
    change = point["references"] / before["references"] - 1
    is_beyond = abs(change) > 2 * math.hypot(point["error"], before["error"])
    mark = ("  SLOWER" if change > 0 else "  faster") if is_beyond else ""
    return f"{text}   {change:+.1%}{mark}"


def make_reference():
    """A square product of 1,024 and the exponentials of as many numbers, 8 times."""
    x = tf.constant(np.random.default_rng(0).random((1024, 1024), "float32") / 32)

    @tf.function
    def run():
        y = x
        for _ in range(8):
            y = tf.exp(y @ x * 1e-3)
        return y

    return lambda: run().numpy()


def attention(causal, length, with_backward):
    """The attention core with FAVOR+."""
    generator = np.random.default_rng(0)
    shape = (1, length, HEADS, HEAD_DIM)
    inputs = [
        tf.constant(generator.standard_normal(shape).astype("float32"))
        for _ in range(3)
    ]
    rows = projections.orthogonal(0, FEATURES, HEAD_DIM).astype("float32")
    feature_map = feature_maps.get("softmax")

    @tf.function
    def run(*inputs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            output = linear_attention(
                *inputs, feature_map, {"projection": rows}, causal=causal
            )
        return tape.gradient(output, inputs)[0] if with_backward else output

    return lambda: run(*inputs).numpy()


def layer():
    """A causal layer as it is used in place of `MultiHeadAttention`."""
    fast = FastAttention(HEADS, HEAD_DIM, seed=0)
    x = tf.constant(np.random.default_rng(0).random((1, 2048, 512), "float32"))

    @tf.function
    def run(x):
        return fast(x, x, use_causal_mask=True)

    return lambda: run(x).numpy()


def training_step(model, loss, ids, targets):
    """A step of a model in the way that `fit` makes it."""
    model.compile("adamw", loss, jit_compile=False)
    return lambda: model.train_on_batch(ids, targets)


def token_ids(batch, length):
    generator = np.random.default_rng(0)
    return generator.integers(1, VOCABULARY, (batch, length)).astype("int32")


def backbone(**arguments):
    return PerformerBackbone(VOCABULARY, 2, 2, 64, 128, seed=0, **arguments)


def classifier():
    return PerformerTextClassifier(backbone(), num_classes=NUM_CLASSES)


def classifier_step():
    ids = token_ids(16, 512)
    loss = "sparse_categorical_crossentropy"
    return training_step(classifier(), loss, ids, ids[:, 0] % NUM_CLASSES)


def language_model_step():
    ids = token_ids(1, 2048)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return training_step(PerformerCausalLM(backbone(causal=True)), loss, ids, ids)


def prediction():
    """A classifier that reads a long document in one pass."""
    model = tf.function(classifier())
    ids = tf.constant(np.arange(16384)[None] % (VOCABULARY - 1) + 1, tf.int32)
    return lambda: model(ids, training=False).numpy()


def stream_step():
    """The next token of a stream."""
    model = backbone(causal=True)
    state = model.initial_state(1)
    step = tf.function(model.stream)
    token = tf.constant([[7]])
    return lambda: step(token, state)[0].numpy()


POINTS = {
    f"attention, {form}, {what}, {length:,} tokens": (
        lambda causal=form == "causal", length=length, back=what != "forward": (
            attention(causal, length, back)
        )
    )
    for form in ("bidirectional", "causal")
    for length, what in ((16384, "forward"), (4096, "forward and backward"))
} | {
    "layer, causal, 2,048 tokens": layer,
    "training step, classifier, 16 x 512 tokens": classifier_step,
    "training step, language model, 2,048 tokens": language_model_step,
    "prediction, classifier, 16,384 tokens": prediction,
    "stream, a token": stream_step,
}


if __name__ == "__main__":
    main()
