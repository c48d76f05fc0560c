"""Latency and memory of an exported classifier by the length of a document.

    python -m benchmarks.prediction_latency saved_models/documents/1

Each length runs in a process of its own. Before it is timed, the answer is checked: the
same document with padding behind it must get the same probabilities.
"""

import argparse
import json
import pathlib
import resource
import statistics
import subprocess
import sys
import time

LENGTHS = (1_000, 16_000, 64_000, 256_000)
TOLERANCE = 1e-4


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=pathlib.Path, help="folder of a version")
    parser.add_argument("--lengths", type=int, nargs="+", default=LENGTHS)
    parser.add_argument("--runs", type=int, default=5, help="timed runs of a length")
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.model, arguments.measure, arguments.runs)))
        return
    print(f"{'tokens':>8} {'latency':>10} {'per token':>10} {'extra memory':>13}")
    for length in arguments.lengths:
        command = [sys.executable, "-m", "benchmarks.prediction_latency"]
        command += [str(arguments.model)]
        command += ["--runs", str(arguments.runs), "--measure", str(length)]
        finished = subprocess.run(command, stdout=subprocess.PIPE, check=True)
        row = json.loads(finished.stdout.splitlines()[-1])
        print(
            f"{length:>8} {row['seconds'] * 1e3:>7.0f} ms "
            f"{row['seconds'] / length * 1e6:>7.1f} us "
            f"{row['extra_bytes'] / 2**20:>9.0f} MiB"
        )


def measure(path, length, runs):
    """Checks, then times one length; returns the median and the memory it added."""
    import numpy as np
    import tensorflow as tf
    import tensorflow_text  # noqa: F401  (registers operations of the model)

    model = tf.saved_model.load(str(path))
    classify = model.signatures["tokens"]
    generator = np.random.default_rng(0)
    ids = generator.integers(2, 200, size=(1, length)).astype("int32")
    classify(token_ids=tf.constant(ids[:, :100]))  # loads what is loaded once
    before = peak_memory()

    document = tf.constant(ids)
    answer = classify(token_ids=document)["probabilities"].numpy()
    extra = peak_memory() - before
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        classify(token_ids=document)["probabilities"].numpy()
        seconds.append(time.perf_counter() - start)

    padded = tf.constant(np.pad(ids, ((0, 0), (0, 777))))
    again = classify(token_ids=padded)["probabilities"].numpy()
    if np.abs(answer - again).max() > TOLERANCE or abs(answer.sum() - 1) > TOLERANCE:
        raise SystemExit(f"Wrong answer at {length} tokens: {answer}, padded {again}")
    return {"seconds": statistics.median(seconds), "extra_bytes": extra}


def peak_memory():
    """The most memory that the process has held, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
