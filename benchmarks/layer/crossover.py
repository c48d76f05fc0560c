"""From which length on `FastAttention` is faster than `MultiHeadAttention`.

    python -m benchmarks.layer.crossover

Prints Markdown. Whole layers of equal weights in self-attention: B = 1, 512 features, 8
heads of 64, float32, on CPU. Before anything is timed the answers and gradients of both
are checked: the exit code is 1, and no figure is printed, where one is wrong.
"""

import argparse
import functools
import json
import subprocess
import sys

import keras
import tensorflow as tf

from benchmarks import memory
from benchmarks.attention import report
from benchmarks.attention.peers.registry import BOTH
from benchmarks.layer import check as layer_check
from benchmarks.layer import passes as layer_passes
from benchmarks.layer.passes import PASSES
from benchmarks.turns import take_turns, turn

LENGTHS = (256, 384, 512, 768, 1024, 1536, 2048, 4096)
MEMORY_LENGTHS = (1024, 4096)
WARM_UP_LENGTH = 64


def main():
    arguments = parse()
    # One trace for each pass and length is meant; TensorFlow warns of many.
    tf.get_logger().setLevel("ERROR")
    tf.config.set_visible_devices([], "GPU")
    tf.config.threading.set_intra_op_parallelism_threads(arguments.threads)
    tf.config.threading.set_inter_op_parallelism_threads(arguments.threads)
    if arguments.measure_memory:
        print(extra_memory(arguments, **json.loads(arguments.measure_memory)))
        return
    layers = layer_passes.make_layers(arguments.num_features)
    try:
        check(layers, arguments)
    except layer_check.WrongAnswer as error:
        sys.exit(f"No figures: {error}")
    print(
        f"{arguments.threads} threads, M = {layers['ours'].num_features}, "
        f"jit_compile={arguments.jit_compile}, keras {keras.__version__}, "
        f"tensorflow {tf.__version__}. keras-performer: `FastAttention`; Keras, exact: "
        "`MultiHeadAttention`."
    )
    for form in arguments.forms:
        for pass_name in arguments.passes:
            points = [
                measure(layers, form, pass_name, length, arguments)
                for length in sorted(arguments.lengths)
            ]
            print(f"\n### {form.capitalize()}, {pass_name}\n")
            print(report.table(points, arguments.threads), end="\n\n")
            print(*report.crossing(points, "keras_exact"), flush=True)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lengths", type=int, nargs="+", default=LENGTHS)
    parser.add_argument("--forms", nargs="+", default=BOTH, choices=BOTH)
    parser.add_argument("--passes", nargs="+", default=PASSES, choices=PASSES)
    parser.add_argument("--num-features", type=int, help="M (default: that of layers)")
    parser.add_argument(
        "--jit-compile",
        action="store_true",
        help="let XLA compile the passes; Keras's 'auto' does not where there is only "
        "a CPU",
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--rounds", type=int, default=15, help="most turns of each layer at a point"
    )
    parser.add_argument(
        "--point-seconds",
        type=float,
        default=4,
        help="no new round begins at a point after so long (three are always made)",
    )
    parser.add_argument(
        "--memory",
        type=int,
        nargs="*",
        help="those of the lengths at which extra memory is measured too (default: "
        f"{' and '.join(map(str, MEMORY_LENGTHS))}, of those given)",
    )
    parser.add_argument("--measure-memory", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if keras.backend.backend() != "tensorflow":
        parser.error(f"needs KERAS_BACKEND=tensorflow, not {keras.backend.backend()}")
    if min(arguments.lengths) < 2 or min(arguments.threads, arguments.rounds) < 1:
        parser.error("--lengths must be at least 2; --threads and --rounds at least 1")
    if arguments.memory is None:
        arguments.memory = set(MEMORY_LENGTHS) & set(arguments.lengths)
    others = set(arguments.memory) - set(arguments.lengths)
    if others:
        parser.error(f"--memory must be of the --lengths. Received: {sorted(others)}")
    return arguments


def check(layers, arguments):
    """Raises `WrongAnswer` unless both layers give what their formulas give."""
    for form in arguments.forms:
        for layer in layers.values():
            log(f"{form}: checking {type(layer).__name__}")
            flags = (form == "causal", arguments.jit_compile)
            length = layer_check.CHECK_LENGTH
            layer_check.check_output(layer, *flags, length, range(length))
            layer_check.check_training_step(layer, *flags)
            for length in arguments.lengths:
                rows = layer_check.some_rows(length)
                layer_check.check_output(layer, *flags, length, rows)


def measure(layers, form, pass_name, length, arguments):
    """Returns a point of `report.table`: both layers, timed in turns."""
    log(f"{form}, {pass_name}, {length} tokens")
    inputs = layer_passes.make_inputs(length, pass_name)
    flags = (form == "causal", arguments.jit_compile)
    turns = {}
    for name, layer in layers.items():
        run = layer_passes.make_pass(layer, pass_name, *flags)
        run(*inputs)
        turns[name] = functools.partial(turn, functools.partial(run, *inputs))
    times = take_turns(turns, arguments.rounds, arguments.point_seconds)
    point = {"length": length, "times": times}
    if length in arguments.memory:
        which = {"form": form, "pass_name": pass_name, "length": length}
        point["memory"] = {
            name: memory_of_fresh_process(arguments, name=name, **which)
            for name in layers
        }
    return point


def memory_of_fresh_process(arguments, **which):
    """Returns what `extra_memory` measures in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.layer.crossover"]
    command += ["--threads", str(arguments.threads)]
    if arguments.num_features is not None:
        command += ["--num-features", str(arguments.num_features)]
    if arguments.jit_compile:
        command += ["--jit-compile"]
    command += ["--measure-memory", json.dumps(which)]
    finished = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return int(finished.stdout.splitlines()[-1])


def extra_memory(arguments, name, form, pass_name, length):
    """Returns the bytes that the first run needs beside its inputs and weights."""
    layer = layer_passes.make_layers(arguments.num_features)[name]
    flags = (pass_name, form == "causal", arguments.jit_compile)
    warm_up = layer_passes.make_inputs(WARM_UP_LENGTH, pass_name)
    layer_passes.make_pass(layer, *flags)(*warm_up)
    inputs = layer_passes.make_inputs(length, pass_name)
    run = layer_passes.make_pass(layer, *flags)
    return memory.extra(run, inputs)


def log(message):
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
