"""Memory and time of a training step of a whole model on one sequence, often long.

    python -m benchmarks.long_training_step
    python -m benchmarks.long_training_step --preset tiny --length 2048 --steps 4 \\
        --rows linear "linear, softmax" "linear, softmax, plain" exact "exact, plain"

Prints Markdown. A causal language model of bytes in float32 with Adam, on CPU, by
default of 6 blocks, d = 512, 8 heads of 64 and d_ff = 2,048. Each row is a process of
its own that takes some steps on one sequence and says the most that it held, libraries
included, and the least processor time of a step; the first step, which builds the
graph, does not count. A process that holds more than `--limit-gib` is ended, which is
the row's figure then; exact attention needs a matrix of heads x T x T. Before anything
is measured, a model whose blocks are computed again takes the same step on a short
sequence as one that keeps them: the exit code is 1, and no figure is printed, where the
two differ.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time

import keras
import numpy as np

from benchmarks import memory
from keras_performer.models import PerformerBackbone, PerformerCausalLM, presets
from keras_performer.training import performer_optimizer

ROWS = {
    "linear, `remat`, feed-forward in chunks": {
        "remat": True,
        "feedforward_chunk": 4096,
    },
    "linear, `remat`": {"remat": True},
    "linear": {},
    "exact, `remat`": {"attention": "exact", "remat": True},
    "linear, softmax": {"feature_map": "softmax"},
    "linear, softmax, plain": {"feature_map": "softmax", "block": "plain"},
    "exact": {"attention": "exact"},
    "exact, plain": {"attention": "exact", "block": "plain"},
}
VOCABULARY = 257
SHORT = 300
TOLERANCE = 1e-4


def main():
    arguments = parse()
    if arguments.row:
        print(*cost_of(ROWS[arguments.row], arguments))
        return
    check(arguments.preset)
    print(f"| a step of {arguments.length:,} tokens | memory, GiB | processor s |")
    print("|---|---|---|")
    for row in arguments.rows:
        print(f"| {row} | {measured(row, arguments)} |", flush=True)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--length", type=int, default=65_536, help="tokens")
    parser.add_argument("--preset", choices=presets.PRESETS, default="small")
    parser.add_argument("--steps", type=int, default=2, help="two at least")
    parser.add_argument("--limit-gib", type=float, default=12.0)
    parser.add_argument("--rows", choices=ROWS, nargs="+", default=list(ROWS)[:4])
    parser.add_argument("--row", choices=ROWS, help=argparse.SUPPRESS)
    return parser.parse_args()


def model_of(preset, **options):
    backbone = PerformerBackbone.from_preset(
        preset, vocabulary_size=VOCABULARY, causal=True, dropout=0.1, seed=0, **options
    )
    model = PerformerCausalLM(backbone)
    model.compile(
        performer_optimizer(),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,
    )
    return model


def losses_of(model, length):
    """The losses of two steps on one sequence: the first changes the second."""
    inputs, targets = sequence(length)
    return [float(model.train_on_batch(inputs, targets)) for _ in range(2)]


def sequence(length):
    """Inputs and targets of shape (1, T)."""
    token_ids = np.random.default_rng(0).integers(1, VOCABULARY, (1, length + 1))
    return token_ids[:, :-1], token_ids[:, 1:]


def cost_of(options, arguments):
    """The most bytes that this process holds in some steps, and a step's seconds."""
    model = model_of(arguments.preset, **options)
    inputs, targets = sequence(arguments.length)
    seconds = []
    for _ in range(arguments.steps):
        start = time.process_time()
        model.train_on_batch(inputs, targets)
        seconds.append(time.process_time() - start)
    return memory.peak(), min(seconds[1:])


def check(preset):
    plain, *others = (
        losses_of(model_of(preset, **ROWS[r]), SHORT) for r in reversed(list(ROWS)[:3])
    )
    for losses in others:
        differences = [abs(a - b) for a, b in zip(losses, plain, strict=True)]
        if not max(differences) < TOLERANCE:
            sys.exit(f"No figures: losses {losses} where {plain} are right")


def measured(row, arguments):
    limit = arguments.limit_gib * 2**30
    command = [
        sys.executable,
        "-m",
        "benchmarks.long_training_step",
        "--row",
        row,
        "--length",
        str(arguments.length),
        "--preset",
        arguments.preset,
        "--steps",
        str(arguments.steps),
    ]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    with (
        tempfile.TemporaryFile("w+") as messages,
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=messages,
            text=True,
            env=environment,
        ) as process,
    ):
        while process.poll() is None:
            if memory.resident(process.pid) > limit:
                process.kill()
                return f"more than {arguments.limit_gib:g}: ended | "
            time.sleep(0.05)
        answer = process.stdout.read().split()
        messages.seek(0)
        # TensorFlow names the tensor that it cannot have in one of two ways.
        said = messages.read()
        sizes = re.findall(r"shape\[([\d,]+)\]", said)[-1:]
        sizes = sizes or re.findall(r"\bsize: (\d+)", said)
    if process.returncode and sizes:
        return f"fails at a tensor of the shape [{','.join(sizes)}] | "
    if process.returncode or not answer:
        return f"fails with exit code {process.returncode} | "
    peak, seconds = answer[-2:]
    return f"{int(peak) / 2**30:.2f} | {float(seconds):.2f}"


if __name__ == "__main__":
    main()
