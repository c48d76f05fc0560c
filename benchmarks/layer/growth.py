"""Time and memory of one attention layer against length, as a picture.

    python -m benchmarks.layer.growth --output docs/pictures/time_and_memory.png

`FastAttention` and `keras.layers.MultiHeadAttention` with the same weights, in
self-attention: B = 1, 512 features, 8 heads of 64, float32, on CPU; a forward pass, and
a training step. Each layer and pass has a process for its time and one for its memory,
which go from short to long until they need more than a limit of either. Points are kept
in a JSON file beside the picture; those that are there already are not measured again.
Before anything is measured the answers and gradients of both layers are checked, and
five rows of the answer at each length up to 8,192: the exit code is 1, and no picture
is drawn, where one is wrong.
"""

import argparse
import itertools
import json
import os
import pathlib
import select
import signal
import subprocess
import sys
import time

import keras
import tensorflow as tf

from benchmarks import memory, processor
from benchmarks.layer import check as layer_check
from benchmarks.layer import growth_picture
from benchmarks.layer import passes as layer_passes
from benchmarks.layer.passes import PASSES
from benchmarks.results import start, write

LENGTHS = (256, 512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536)
NAMES = ("ours", "keras_exact")
QUANTITIES = ("seconds", "bytes")
WARM_UP_LENGTH = 64
# Timed runs of a point: at least so many, and more until they have taken so long.
FEWEST_RUNS = 3
POINT_SECONDS = 1.0
# A check in float64 takes more memory than the layer.
LONGEST_CHECK = 8192


def main():
    arguments = parse()
    tf.get_logger().setLevel("ERROR")
    tf.config.set_visible_devices([], "GPU")
    tf.config.threading.set_intra_op_parallelism_threads(arguments.threads)
    tf.config.threading.set_inter_op_parallelism_threads(arguments.threads)
    if arguments.measure:
        which = json.loads(arguments.measure)
        which["pass_name"] = which.pop("pass")
        for value in measure(**which):
            print(json.dumps(value), flush=True)
        return
    growth_picture.figure_class()  # says now if Matplotlib is missing
    path = arguments.output.with_suffix(".json")
    of_command = {
        "processor": processor.name(),
        "threads": arguments.threads,
        "limit_gib": arguments.limit_gib,
        "keras": keras.__version__,
        "tensorflow": tf.__version__,
    }
    results = start(path, of_command, points=[])
    try:
        measure_missing(results, path, arguments)
    except layer_check.WrongAnswer as error:
        sys.exit(f"No picture: {error}")
    growth_picture.write(arguments.output, results)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--output",
        type=pathlib.Path,
        default=pathlib.Path("time_and_memory.png"),
        help="picture to write (PNG); the points are a JSON file of the same name",
    )
    parser.add_argument("--lengths", type=int, nargs="+", default=LENGTHS)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--limit-gib", type=float, default=8.0, help="most memory of a process"
    )
    parser.add_argument(
        "--limit-seconds", type=float, default=300, help="longest that a point may take"
    )
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if keras.backend.backend() != "tensorflow":
        parser.error(f"needs KERAS_BACKEND=tensorflow, not {keras.backend.backend()}")
    if min(arguments.lengths) < 2 or arguments.threads < 1:
        parser.error("--lengths must be at least 2, --threads at least 1")
    return arguments


def measure_missing(results, path, arguments):
    """Measures the points that are not there yet, and writes them one by one.

    Raises:
        WrongAnswer: If a layer does not give what its formula gives.
    """
    points = results["points"]
    layers = None
    for name, pass_name, quantity in itertools.product(NAMES, PASSES, QUANTITIES):
        which = {"layer": name, "pass": pass_name, "quantity": quantity}
        line = [point for point in points if which.items() <= point.items()]
        measured = {point["length"] for point in line}
        lengths = sorted(set(arguments.lengths) - measured)
        if not lengths or any("over" in point for point in line):
            continue
        if layers is None:
            layers = checked_layers(arguments.lengths)
        for point in points_of_process(which, lengths, arguments):
            points.append({**which, **point})
            write(path, results)


def checked_layers(lengths):
    """Returns both layers, whose answers and gradients are what their formulas give.

    At the lengths that are measured, but for the longest, these are some rows.
    """
    layers = layer_passes.make_layers()
    for layer in layers.values():
        log(f"checking {type(layer).__name__}")
        length = layer_check.CHECK_LENGTH
        layer_check.check_output(layer, False, False, length, range(length))
        layer_check.check_training_step(layer, False, False)
        for length in lengths:
            if length <= LONGEST_CHECK:
                rows = layer_check.some_rows(length)
                layer_check.check_output(layer, False, False, length, rows)
    return layers


def points_of_process(which, lengths, arguments):
    """Measures points in a process of their own, in order of length.

    Yields:
        Dictionaries of `length` and `value`; the last may have `over` in place of a
        value: the limit that was passed.
    """
    command = [sys.executable, "-m", "benchmarks.layer.growth"]
    command += ["--threads", str(arguments.threads), "--measure"]
    command += [json.dumps({**which, "lengths": lengths})]
    # Lines are read as bytes from the pipe itself, as `select` knows of no buffer.
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, bufsize=0, start_new_session=True
    ) as process:
        for length in lengths:
            log(f"{', '.join(which.values())}, {length:,} tokens")
            start = time.monotonic()
            over = None
            while over is None and not select.select([process.stdout], [], [], 0.02)[0]:
                if memory.resident_of_all(process.pid) > arguments.limit_gib * 2**30:
                    over = f"{arguments.limit_gib:g} GiB"
                elif time.monotonic() - start > arguments.limit_seconds:
                    over = f"{arguments.limit_seconds:g} s"
            if over is not None:
                os.killpg(process.pid, signal.SIGKILL)
                yield {"length": length, "over": over}
                return
            answer = process.stdout.readline()
            if not answer:
                raise layer_check.WrongAnswer(f"the process of {command[-1]} ended")
            yield {"length": length, "value": json.loads(answer)}


def measure(layer, pass_name, quantity, lengths):
    """Yields a number for each length.

    Of `"seconds"` the least processor time of some runs; of `"bytes"` the most that one
    run holds beside inputs and weights.
    """
    if quantity == "seconds":
        layer = layer_passes.make_layers()[layer]
        for length in lengths:
            yield least_seconds(layer, pass_name, length)
        return
    for length in lengths:
        # TensorFlow keeps what a run has freed, so that each run has its own process: a
        # copy of this one, in which TensorFlow is loaded and has not begun to work.
        output, answer = os.pipe()
        process = os.fork()
        if not process:
            try:
                layer = layer_passes.make_layers()[layer]
                os.write(answer, str(extra_bytes(layer, pass_name, length)).encode())
            finally:
                os._exit(0)
        os.close(answer)
        with os.fdopen(output) as file:
            yield int(file.read())
        os.waitpid(process, 0)


def least_seconds(layer, pass_name, length):
    """Returns the least processor time of some runs, after a first one."""
    inputs = layer_passes.make_inputs(length, pass_name)
    run = layer_passes.make_pass(layer, pass_name, False, False)
    run(*inputs)
    seconds = []
    while len(seconds) < FEWEST_RUNS or sum(seconds) < POINT_SECONDS:
        start = time.process_time()
        run(*inputs)
        seconds.append(time.process_time() - start)
    return min(seconds)


def extra_bytes(layer, pass_name, length):
    """Returns the most bytes that a run holds beside its inputs and weights."""
    warm_up = layer_passes.make_inputs(WARM_UP_LENGTH, pass_name)
    layer_passes.make_pass(layer, pass_name, False, False)(*warm_up)
    inputs = layer_passes.make_inputs(length, pass_name)
    run = layer_passes.make_pass(layer, pass_name, False, False)
    return memory.extra(run, inputs)


def log(message):
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
