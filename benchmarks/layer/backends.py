"""One layer on each backend: TensorFlow, TensorFlow with XLA, JAX and PyTorch.

    python -m benchmarks.layer.backends --torch-python .venv-torch/bin/python

`FastAttention` with the same weights: self-attention of B = 1, 512 features, 8 heads of
64, float32, on a CPU; the forward pass, and the gradients of the mean square of the
outputs in inputs and weights. Each backend has a process of its own, compiled as its
users have it (`tf.function`, `jax.jit`; PyTorch as it is), and all take turns. Printed
are the processor seconds of a pass, the least over the turns, and the median ratio to
the first backend in turns of the same round. Before anything is timed, outputs and
gradients must be those of the first: the exit code is 1, and nothing is printed, where
they are not. PyTorch has an environment of its own (`make test-torch` makes it), and is
left out where no `--torch-python` is given.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

import numpy as np

from benchmarks import processor
from benchmarks.turns import take_turns

ROOT = pathlib.Path(__file__).resolve().parents[2]
BACKENDS = ("tensorflow", "tensorflow with XLA", "jax", "torch")
PASSES = ("forward", "with backward")
WORKER = "from benchmarks.layer import backend_worker; backend_worker.main()"
CHECKED_LENGTH = 300
TOLERANCE = 1e-4  # of the largest number


class Worker:
    """A backend in a process of its own, which is asked and answers.

    Args:
        backend: One of `BACKENDS`.
        python: Path of its Python.
        threads: Number of processors that it may use.
    """

    def __init__(self, backend, python, threads):
        self.backend = backend
        self._process = subprocess.Popen(
            [python, "-c", WORKER, str(threads)] + ["--xla"] * backend.endswith("XLA"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "KERAS_BACKEND": backend.split()[0],
                "CUDA_VISIBLE_DEVICES": "",
                "JAX_PLATFORMS": "cpu",
                "TF_CPP_MIN_LOG_LEVEL": "3",
            },
        )

    def ask(self, **question):
        """Sends a question and returns the answer to it.

        Raises:
            RuntimeError: If the process ends without one.
        """
        try:
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended, so there is no answer to read either
        answer = self._process.stdout.readline()
        if not answer:
            code = self._process.wait()
            raise RuntimeError(f"{self.backend} ended with code {code}")
        return json.loads(answer)

    def close(self):
        """Ends the process."""
        self._process.kill()
        self._process.wait()


def main(arguments=None):
    """Checks, measures and prints; returns the exit code."""
    arguments = parse(arguments)
    pythons = dict.fromkeys(BACKENDS[:3], sys.executable)
    if arguments.torch_python:
        pythons["torch"] = arguments.torch_python
    workers = []
    try:
        for backend, python in pythons.items():
            workers.append(Worker(backend, python, arguments.threads))
        for form in forms(arguments):
            if wrong := differing(workers, form):
                print(f"{form}: {wrong} has another answer", file=sys.stderr)
                return 1
        print(f"{processor.describe()}, {arguments.threads} threads")
        for form in forms(arguments):
            for length in arguments.lengths:
                for name in PASSES:
                    times = measure(workers, arguments, length=length, of=name, **form)
                    print(line(form, length, name, times), flush=True)
    finally:
        for worker in workers:
            worker.close()
    return 0


def forms(arguments):
    """What is asked of all backends: a feature map, and if attention is causal."""
    return [
        {"feature_map": name, "causal": causal}
        for name in arguments.maps
        for causal in (False, True)
    ]


def differing(workers, form):
    """The first backend with other outputs or gradients than the first; or `None`."""
    with tempfile.TemporaryDirectory() as folder:
        answers = []
        for index, worker in enumerate(workers):
            path = pathlib.Path(folder, f"{index}.npz")
            worker.ask(save_to=str(path), length=CHECKED_LENGTH, of=PASSES[1], **form)
            with np.load(path) as arrays:
                answers.append(dict(arrays))
    for worker, answer in zip(workers, answers, strict=True):
        for name, expected in answers[0].items():
            error = np.max(np.abs(answer[name] - expected))
            if not error <= TOLERANCE * np.max(np.abs(expected)):
                return worker.backend
    return None


def measure(workers, arguments, **question):
    """Processor seconds of a pass on each backend, a list for each."""
    for worker in workers:
        worker.ask(seconds=0.0, **question)  # compiles
    turns = {
        worker.backend: lambda worker=worker: worker.ask(seconds=0.1, **question)
        for worker in workers
    }
    times = take_turns(turns, arguments.rounds, arguments.seconds)
    return {backend: x["cpu_seconds"] for backend, x in times.items()}


def line(form, length, name, times):
    """A line of the table: milliseconds, and in brackets the ratio to the first."""
    first = next(iter(times.values()))
    columns = [
        f"{backend} {1e3 * min(seconds):.1f} ms "
        f"({statistics.median(a / b for a, b in zip(seconds, first, strict=True)):.2f})"
        for backend, seconds in times.items()
    ]
    causal = "causal" if form["causal"] else "bidirectional"
    what = f"{form['feature_map']}, {causal}, {length}, {name}"
    return f"{what:<45} {'; '.join(columns)}"


def parse(arguments):
    """The flags."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lengths", nargs="+", type=int, default=[512, 2048])
    parser.add_argument("--maps", nargs="+", default=["softmax", "relu"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=20, help="most at a point")
    parser.add_argument("--torch-python", help="Python of an environment with PyTorch")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
