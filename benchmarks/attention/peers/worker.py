"""A process that runs one peer in one form, one command at a time.

    python -m benchmarks.attention.peers.worker ours causal

Commands come as lines of JSON, such as `{"command": "turn", "seconds": 0.1}`, and each
is answered by a line of JSON.
"""

import importlib
import json
import os
import sys
import time

import numpy as np

from benchmarks import memory
from benchmarks.attention.peers import reference, registry
from benchmarks.attention.peers.peer import HEAD_DIM, HEADS

WARM_UP_LENGTH = 64
# Queries and keys of this spread give attention that is not flat, and features beside
# which the constants that published code adds are small.
SPREAD = 0.3


def main():
    # Libraries print what they like; answers have a pipe of their own.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    worker = Worker(*sys.argv[1:])
    for line in sys.stdin:
        arguments = json.loads(line)
        answer = getattr(worker, arguments.pop("command"))(**arguments)
        print(json.dumps(answer), file=answers, flush=True)


class Worker:
    """The commands, as methods.

    Args:
        name: Name of the peer.
        form: `"bidirectional"` or `"causal"`.
    """

    def __init__(self, name, form):
        module = importlib.import_module(f"benchmarks.attention.peers.{name}")
        self.peer = getattr(module, registry.BY_NAME[name].class_name)(form)

    def version(self):
        """Returns the versions of the peer's libraries."""
        return self.peer.version()

    def limits(self):
        """Returns the rates that the peer's framework reaches."""
        return self.peer.limits()

    def inputs(self, pass_name, length):
        """Makes inputs and a function anew; what was there before is dropped."""
        self.arrays = self.tensors = self.function = None
        self.arrays = make_arrays(length, pass_name)
        self.tensors = [self.peer.tensor(x) for x in self.arrays]
        self.function = self.make_function(pass_name)

    def first_run(self):
        """Runs once, with whatever tracing or compiling goes with that."""
        self.function(*self.tensors)

    def make_function(self, pass_name):
        make = {
            "forward": self.peer.forward,
            "forward and backward": self.peer.forward_backward,
        }[pass_name]
        return make()

    def turn(self, seconds):
        """Runs for some seconds, at least once; returns the time of a run."""
        runs, start, cpu = 0, time.perf_counter(), time.process_time()
        while not runs or time.perf_counter() - start < seconds:
            self.function(*self.tensors)
            runs += 1
        wall = time.perf_counter() - start
        cpu = time.process_time() - cpu
        return {"seconds": wall / runs, "cpu_seconds": cpu / runs, "runs": runs}

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
        results = flatten(self.function(*tensors))
        results = [self.peer.array(x) for x in results]
        return reference.check(self.peer, results, arrays, rows)

    def extra_memory(self, pass_name, length):
        """Returns the bytes that the first run needs beside its inputs."""
        warm_up = [self.peer.tensor(x) for x in make_arrays(WARM_UP_LENGTH, pass_name)]
        self.make_function(pass_name)(*warm_up)
        tensors = [self.peer.tensor(x) for x in make_arrays(length, pass_name)]
        function = self.make_function(pass_name)
        return memory.extra(function, tensors)

    def trace(self, pass_name, length):
        """Returns the seconds that tracing takes, without running."""
        tensors = [self.peer.tensor(x) for x in make_arrays(length, pass_name)]
        start = time.perf_counter()
        self.make_function(pass_name).get_concrete_function(*tensors)
        return time.perf_counter() - start


def make_arrays(length, pass_name):
    """Returns query, key and value, and for a backward pass the output's gradient."""
    generator = np.random.default_rng(length)
    number = 3 if pass_name == "forward" else 4
    shape = (1, length, HEADS, HEAD_DIM)
    arrays = [generator.standard_normal(shape, np.float32) for _ in range(number)]
    arrays[0] *= SPREAD
    arrays[1] *= SPREAD
    return arrays


def flatten(results):
    """Returns a flat list of (output, gradients), or of an output alone."""
    if isinstance(results, tuple):
        output, gradients = results
        return [output, *gradients]
    return [results]


if __name__ == "__main__":
    main()
