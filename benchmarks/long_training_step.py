"""Memory of one training step of a whole model on a very long sequence.

    python -m benchmarks.long_training_step

Prints Markdown. A causal language model of bytes, 6 blocks, d = 512, 8 heads of 64,
d_ff = 2,048, float32, Adam, on CPU: each row is a process of its own that takes two
steps on one sequence and says the most that it held. A process that holds more than
`--limit-gib` is ended, which is the row's figure then; exact attention needs a matrix
of 8 x T x T. Before anything is measured, a model whose blocks are computed again takes
the same step on a short sequence as one that keeps them: the exit code is 1, and no
figure is printed, where the two differ.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time

ROWS = {
    "linear, `remat`, feed-forward in chunks": {
        "remat": True,
        "feedforward_chunk": 4096,
    },
    "linear, `remat`": {"remat": True},
    "linear": {},
    "exact, `remat`": {"attention": "exact", "remat": True},
}
VOCABULARY = 257
SHORT = 300
TOLERANCE = 1e-4


def main():
    arguments = parse()
    if arguments.row:
        print(peak_of(ROWS[arguments.row], arguments.length))
        return
    check()
    print(f"| a step of {arguments.length:,} tokens | most memory held, GiB |")
    print("|---|---|")
    for row in arguments.rows:
        print(f"| {row} | {measured(row, arguments)} |", flush=True)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--length", type=int, default=65_536, help="tokens")
    parser.add_argument("--limit-gib", type=float, default=12.0)
    parser.add_argument("--rows", choices=ROWS, nargs="+", default=list(ROWS))
    parser.add_argument("--row", choices=ROWS, help=argparse.SUPPRESS)
    return parser.parse_args()


def model_of(**options):
    import keras

    from keras_performer.models import PerformerBackbone, PerformerCausalLM
    from keras_performer.training import performer_optimizer

    backbone = PerformerBackbone.from_preset(
        "small", vocabulary_size=VOCABULARY, causal=True, dropout=0.1, seed=0, **options
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
    import numpy as np

    token_ids = np.random.default_rng(0).integers(1, VOCABULARY, (1, length + 1))
    inputs, targets = token_ids[:, :-1], token_ids[:, 1:]
    return [float(model.train_on_batch(inputs, targets)) for _ in range(2)]


def peak_of(options, length):
    """The most bytes that a process holds which takes two steps."""
    from benchmarks import memory

    losses_of(model_of(**options), length)
    return memory.peak()


def check():
    plain, *others = (
        losses_of(model_of(**ROWS[r]), SHORT) for r in reversed(list(ROWS)[:3])
    )
    for losses in others:
        differences = [abs(a - b) for a, b in zip(losses, plain, strict=True)]
        if not max(differences) < TOLERANCE:
            sys.exit(f"No figures: losses {losses} where {plain} are right")


def measured(row, arguments):
    from benchmarks import memory

    limit = arguments.limit_gib * 2**30
    command = [
        sys.executable,
        "-m",
        "benchmarks.long_training_step",
        "--row",
        row,
        "--length",
        str(arguments.length),
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
                return f"more than {arguments.limit_gib:g}: ended"
            time.sleep(0.05)
        answer = process.stdout.read().split()
        messages.seek(0)
        # TensorFlow names the tensor that it cannot have in one of two ways.
        said = messages.read()
        sizes = re.findall(r"shape\[([\d,]+)\]", said)[-1:]
        sizes = sizes or re.findall(r"\bsize: (\d+)", said)
    if process.returncode and sizes:
        return f"fails at a tensor of the shape [{','.join(sizes)}]"
    if process.returncode or not answer:
        return f"fails with exit code {process.returncode}"
    return f"{int(answer[-1]) / 2**30:.2f}"


if __name__ == "__main__":
    main()
