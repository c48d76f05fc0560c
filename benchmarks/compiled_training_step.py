"""When XLA pays in training: its compilation against what it saves in a step.

    python -m benchmarks.compiled_training_step

Prints Markdown, in processor time. Two models of one size and seed, one in TensorFlow's
graph and one compiled by XLA, take steps of the same batch in turns. What their first
step takes longer by is paid back after as many steps as the last column says, for each
shape of a batch anew. Before a row is printed, the losses of the first steps are
compared: the exit code is 1, and no figure is printed, where they differ.
"""

import argparse
import statistics
import sys
import time

import keras
import numpy as np

from benchmarks import processor, turns
from benchmarks.regression import NUM_CLASSES, backbone, token_ids
from keras_performer.models import PerformerCausalLM, PerformerTextClassifier
from keras_performer.training import performer_optimizer

CHECKED = 3  # steps
TOLERANCE = 1e-3
# Number of sequences, their length, and what is trained.
ROWS = {
    "classifier, 16 x 512": (16, 512, "classifier"),
    "classifier, 1 x 8,192": (1, 8192, "classifier"),
    "language model, 1 x 2,048": (1, 2048, "language model"),
    "language model, exact attention, 1 x 2,048": (1, 2048, "exact"),
}


def main(arguments=None):
    """Measures, and prints a table."""
    arguments = parse(arguments)
    print(f"{processor.describe()}\n")
    print("| | | first step, s | a step, ms | | paid back after |")
    print("|---|---|---|---|---|---|")
    for name in arguments.rows:
        graph, compiled = measure(*ROWS[name], arguments.seconds)
        print(f"| {name} | graph | {graph[0]:.1f} | {graph[1] * 1e3:.0f} | | |")
        saved = graph[1] - compiled[1]
        steps = f"{(compiled[0] - graph[0]) / saved:,.0f} steps" if saved > 0 else "–"
        print(
            f"| | XLA | {compiled[0]:.1f} | {compiled[1] * 1e3:.0f} "
            f"| {compiled[1] / graph[1] - 1:+.0%} | {steps} |",
            flush=True,
        )


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--seconds", type=float, default=20.0, help="of turns a row")
    return parser.parse_args(arguments)


def measure(batch, length, kind, seconds):
    """Processor seconds of the first and of a later step, in the graph and by XLA."""
    ids = token_ids(batch, length)
    targets = ids[:, 0] % NUM_CLASSES if kind == "classifier" else ids
    losses, first, steps = [], [], {}
    for jit_compile in (False, True):
        model = trained(kind, jit_compile)
        start = time.process_time()
        losses.append([model.train_on_batch(ids, targets)])
        first.append(time.process_time() - start)
        for _ in range(CHECKED - 1):
            losses[-1].append(model.train_on_batch(ids, targets))
        steps[jit_compile] = lambda model=model: model.train_on_batch(ids, targets)
    if not np.allclose(*losses, rtol=TOLERANCE):
        print(f"The losses differ: {losses}", file=sys.stderr)
        sys.exit(1)
    times = turns.take_turns(
        {name: lambda run=run: turns.turn(run) for name, run in steps.items()},
        rounds=100,
        seconds=seconds,
    )
    later = [statistics.median(times[name]["cpu_seconds"]) for name in steps]
    return list(zip(first, later, strict=True))


def trained(kind, jit_compile):
    """A model of the size of `keras-performer train`, ready to be trained."""
    is_causal = kind != "classifier"
    attention = "exact" if kind == "exact" else "linear"
    encoder = backbone(causal=is_causal, attention=attention, dropout=0.0)
    if is_causal:
        model = PerformerCausalLM(encoder)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    else:
        model = PerformerTextClassifier(encoder, NUM_CLASSES, seed=0)
        loss = "sparse_categorical_crossentropy"
    model.compile(performer_optimizer(), loss, jit_compile=jit_compile)
    # Otherwise the first step is traced twice, to make the optimizer's variables.
    model.optimizer.build(model.trainable_variables)
    return model


if __name__ == "__main__":
    main()
