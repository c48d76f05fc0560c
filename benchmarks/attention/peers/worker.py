"""A process that runs one peer in one form, one command at a time.

    python -m benchmarks.attention.peers.worker ours.Ours causal '{"features": 64}'

Commands come as lines of JSON, such as `{"command": "turn", "seconds": 0.1}`, and each
is answered by a line of JSON.
"""

import functools
import importlib
import json
import os
import sys
import time

import numpy as np

from benchmarks import memory
from benchmarks.attention.peers import reference
from benchmarks.attention.peers.inputs import make_arrays
from benchmarks.turns import turn

WARM_UP_LENGTH = 64
# Other samples, whose moments maps adapt to, and their positions.
ADAPT_SAMPLES, ADAPT_LENGTH = 8, 1024


def main():
    # Libraries print what they like; answers have a pipe of their own.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    path, form, options = sys.argv[1:]
    worker = Worker(path, form, json.loads(options))
    for line in sys.stdin:
        arguments = json.loads(line)
        answer = getattr(worker, arguments.pop("command"))(**arguments)
        print(json.dumps(answer), file=answers, flush=True)


class Worker:
    """The commands, as methods.

    Args:
        path: Module in this package and class, as `"ours.Ours"`.
        form: `"bidirectional"` or `"causal"`.
        options: Dictionary of arguments of the class beside the form, and of `data`, as
            for `make_arrays`.
    """

    def __init__(self, path, form, options):
        module, _, name = path.partition(".")
        module = importlib.import_module(f"benchmarks.attention.peers.{module}")
        self.peer_class, self.form = getattr(module, name), form
        self.arrays = self.tensors = self.function = None
        self.make(options)

    def make(self, options):
        """Makes the peer anew; where it adapts, it does so to other samples."""
        options = dict(options)
        self.data = options.pop("data", "isotropic")
        self.peer = self.peer_class(self.form, **options)
        if self.peer.adapts:
            self.peer.adapt(*other_samples(self.data))

    def version(self):
        """Returns the versions of the peer's libraries."""
        return self.peer.version()

    def limits(self):
        """Returns the rates that the peer's framework reaches."""
        return self.peer.limits()

    def inputs(self, pass_name, length):
        """Makes inputs and a function anew; what was there before is dropped."""
        self.arrays = self.tensors = self.function = None
        self.arrays = make_arrays(self.data, length, pass_name)
        self.tensors = [self.peer.tensor(x) for x in self.arrays]
        self.function = self.make_function(pass_name)

    def run(self):
        """Runs once, the first time with whatever tracing or compiling goes with it."""
        self.function(*self.tensors)

    def make_function(self, pass_name):
        make = {
            "forward": self.peer.forward,
            "forward and backward": self.peer.forward_backward,
        }[pass_name]
        return make()

    def turn(self, seconds):
        """Runs for some seconds, at least once; returns the time of a run."""
        return turn(self.run, seconds)

    def check(self, rows):
        """Runs once and compares some rows with the formula in float64."""
        arrays, tensors = list(self.arrays), list(self.tensors)
        if len(arrays) == 3:
            arrays.append(np.zeros_like(arrays[0]))
        else:
            gradient = np.zeros_like(arrays[3])
            for head in reference.CHECKED_HEADS:
                gradient[:, rows, head] = arrays[3][:, rows, head]
            arrays[3], tensors[3] = gradient, self.peer.tensor(gradient)
        results = [self.peer.array(x) for x in flatten(self.function(*tensors))]
        return reference.check(self.peer, results, arrays, rows)

    def errors(self, length, rows):
        """Returns how far some rows are from exact softmax attention.

        Args:
            length: T.
            rows: Positions.

        Returns:
            The errors of the peer and of uniform attention, as `reference.distance`.
        """
        self.inputs("forward", length)
        output = self.function(*self.tensors)
        rows_of = self.peer.array(output)[0, rows]
        exact, uniform = reference.exact_and_uniform(self.form, self.arrays, rows)
        return [reference.distance(x, exact) for x in (rows_of, uniform)]

    def extra_memory(self, pass_name, length):
        """Returns the bytes that the first run needs beside its inputs."""
        warm_up = self.make_tensors(pass_name, WARM_UP_LENGTH)
        self.make_function(pass_name)(*warm_up)
        tensors = self.make_tensors(pass_name, length)
        function = self.make_function(pass_name)
        return memory.extra(function, tensors)

    def make_tensors(self, pass_name, length):
        return [self.peer.tensor(x) for x in make_arrays(self.data, length, pass_name)]

    def trace(self, pass_name, length):
        """Returns the seconds that tracing takes, without running."""
        tensors = self.make_tensors(pass_name, length)
        start = time.perf_counter()
        self.make_function(pass_name).get_concrete_function(*tensors)
        return time.perf_counter() - start


@functools.cache
def other_samples(data):
    """Queries and keys of other samples than that which is run, (B, T, H, D) each."""
    samples = [
        make_arrays(data, ADAPT_LENGTH, "forward", sample)[:2]
        for sample in range(1, 1 + ADAPT_SAMPLES)
    ]
    return [np.concatenate(sides) for sides in zip(*samples, strict=True)]


def flatten(results):
    """Returns a flat list of (output, gradients), or of an output alone."""
    if isinstance(results, tuple):
        output, gradients = results
        return [output, *gradients]
    return [results]


if __name__ == "__main__":
    main()
