"""Time of a step of `FastAttention` after 10 and after 1,000,000 positions.

    python -m benchmarks.stream.steps

Prints Markdown. One stream of 512 features through a causal layer of 8 heads of 64,
float32, on CPU. Before anything is timed, outputs are compared with those of the whole
in float64, memory with that of the first spans, and a stored state with what another
process makes of it: the exit code is 1, and no figure is printed, where one is wrong.
"""

import argparse
import itertools
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import keras
import numpy as np
import tensorflow as tf

from benchmarks import memory
from benchmarks.stream import layer as stream_layer
from benchmarks.stream.stream import FIRST_SPANS, Stream

CHECKPOINTS = (10, 10_000, 100_000)
# Root mean square of the error over that of the truth, in float32.
TOLERANCE = 1e-5
GROWTH_BYTES = 64 * 2**20
WARM_UP_RUNS = 20


class WrongAnswer(Exception):
    """The stream is not what it should be."""


def main():
    arguments = parse()
    tf.config.set_visible_devices([], "GPU")
    tf.config.threading.set_intra_op_parallelism_threads(arguments.threads)
    tf.config.threading.set_inter_op_parallelism_threads(arguments.threads)
    layer = stream_layer.make_layer(arguments.rotary_base, arguments.exact_window)
    stream = Stream(layer, arguments.span)
    if arguments.resume:
        stream.load(arguments.resume / "state.npz")
        np.save(arguments.resume / "outputs.npy", stream.go_on())
        return
    ends = [end for end in CHECKPOINTS if end < arguments.length]
    try:
        checkpoints = []
        for end in ends:
            checkpoints.append(read(stream, end))
        check_resumption(stream, arguments)
        checkpoints.append(read(stream, arguments.length, arguments.single_steps))
        peaks = stream.first_peak, memory.peak()
        check_memory(peaks)
        errors = check_outputs(layer, checkpoints)
    except WrongAnswer as error:
        sys.exit(f"No figures: {error}")
    times = step_times(stream, checkpoints, arguments.runs)
    print(report(stream, checkpoints, errors, times, peaks))


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--length", type=int, default=1_000_000, help="of the stream")
    parser.add_argument(
        "--span", type=int, default=8192, help="positions of a span (`prefill`)"
    )
    parser.add_argument(
        "--single-steps",
        type=int,
        default=20_000,
        help="positions at the end that are streamed one by one (`step`)",
    )
    parser.add_argument("--rotary-base", type=float, help="as 10000 (default: none)")
    parser.add_argument("--exact-window", type=int, help="as 64 (default: none)")
    parser.add_argument("--runs", type=int, default=300, help="timed steps of a state")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--resume", type=pathlib.Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if keras.backend.backend() != "tensorflow":
        parser.error(f"needs KERAS_BACKEND=tensorflow, not {keras.backend.backend()}")
    if min(arguments.span, arguments.runs, arguments.threads) < 1:
        parser.error("--span, --runs and --threads must be at least 1")
    spans = (arguments.length - arguments.single_steps) // arguments.span
    if spans <= FIRST_SPANS or arguments.single_steps < 0:
        parser.error(
            f"--length, less --single-steps, must be more than {FIRST_SPANS} spans: "
            "their memory is what that of the rest is compared with"
        )
    return arguments


def read(stream, end, single_steps=0):
    """Streams to a checkpoint and takes one step from there.

    Returns:
        Dictionary of the position, the state, the memory, and the outputs (2, F) of
        the position before and of the one of the step.
    """
    log(f"{stream.position:,} to {end:,} positions")
    stream.prefill_until(end - single_steps)
    stream.step_until(end)
    following, _ = stream.step(stream.tensor(end, end + 1), stream.state)
    return {
        "position": end,
        "state": stream.state,
        "resident": memory.resident(),
        "outputs": np.stack([stream.last_output, following.numpy()[0, 0]]),
    }


def check_resumption(stream, arguments):
    """Raises `WrongAnswer` unless another process goes on bit by bit as this one."""
    log(f"a state of {stream.position:,} positions in another process")
    command = [sys.executable, "-m", "benchmarks.stream.steps"]
    command += ["--threads", str(arguments.threads)]
    for flag in ("rotary_base", "exact_window"):
        if getattr(arguments, flag) is not None:
            command += [f"--{flag.replace('_', '-')}", str(getattr(arguments, flag))]
    with tempfile.TemporaryDirectory() as folder:
        stream.save(pathlib.Path(folder) / "state.npz")
        subprocess.run([*command, "--resume", folder], check=True)
        resumed = np.load(pathlib.Path(folder) / "outputs.npy")
    expected = stream.go_on()
    if not np.array_equal(resumed, expected):
        raise WrongAnswer(
            f"a state stored at {stream.position:,} gives other outputs in another "
            f"process: they differ by up to {np.abs(resumed - expected).max():.2g}."
        )


def check_memory(peaks):
    """Raises `WrongAnswer` where later spans take more memory than the first ones."""
    first, later = peaks
    if later > first + GROWTH_BYTES:
        raise WrongAnswer(
            f"the process held {mebibytes(first)} at most in the first {FIRST_SPANS} "
            f"spans, and {mebibytes(later)} in later ones."
        )


def check_outputs(layer, checkpoints):
    """Returns the relative errors at the checkpoints.

    Raises:
        WrongAnswer: If one is above the tolerance.
    """
    log("the same in float64")
    positions = [p for c in checkpoints for p in (c["position"] - 1, c["position"])]
    expected = stream_layer.parallel_outputs(layer, positions)
    errors = []
    for index, checkpoint in enumerate(checkpoints):
        truth = expected[2 * index : 2 * index + 2]
        difference = checkpoint["outputs"].astype(np.float64) - truth
        error = np.linalg.norm(difference) / np.linalg.norm(truth)
        if not error <= TOLERANCE:  # also where it is not a number
            raise WrongAnswer(
                f"relative error {error:.2g} after {checkpoint['position']:,} "
                f"positions, expected at most {TOLERANCE:g}."
            )
        errors.append(error)
    return errors


def step_times(stream, checkpoints, runs):
    """Returns seconds of a step from each checkpoint's state, round by round.

    In each round every state has its turn, another one first each time.
    """
    cases = []
    for checkpoint in checkpoints:
        position = checkpoint["position"]
        x = stream.tensor(position, position + 1)
        cases.append((x, checkpoint["state"], []))
    for _ in range(WARM_UP_RUNS):
        for x, state, _ in cases:
            stream.step(x, state)
    log("timing")
    for number in range(runs):
        first = number % len(cases)
        for x, state, seconds in itertools.chain(cases[first:], cases[:first]):
            start = time.perf_counter()
            output, _ = stream.step(x, state)
            output.numpy()
            seconds.append(time.perf_counter() - start)
    return [seconds for *_, seconds in cases]


def report(stream, checkpoints, errors, times, peaks):
    """Returns Markdown: a row for each checkpoint, and the memory below."""
    layer = stream.layer
    lines = [
        (
            f"M = {layer.num_features}, rotary_base={layer.rotary_base}, "
            f"exact_window={layer.exact_window}, keras {keras.__version__}, tensorflow "
            f"{tf.__version__}."
        ),
        "",
        (
            "| positions before | step | times that of the first | relative error | "
            "extra memory |"
        ),
        "| ---: | ---: | ---: | ---: | ---: |",
    ]
    for checkpoint, error, seconds in zip(checkpoints, errors, times, strict=True):
        ratios = [a / b for a, b in zip(seconds, times[0], strict=True)]
        lower, middle, upper = quartiles(ratios)
        cells = (
            f"{checkpoint['position']:,}",
            f"{statistics.median(seconds) * 1e3:.3f} ms",
            f"{middle:.3f} ({lower:.2f}–{upper:.2f})",
            f"{error:.1e}",
            mebibytes(checkpoint["resident"] - stream.before),
        )
        lines.append(f"| {' | '.join(cells)} |")
    first, later = (mebibytes(peak - stream.before) for peak in peaks)
    return "\n".join(
        [
            *lines,
            "",
            (
                f"- Peak of extra memory: {first} in the first {FIRST_SPANS} spans, "
                f"{later} in the rest."
            ),
            "- A stored state gave the same bits in another process.",
        ]
    )


def quartiles(values):
    return statistics.quantiles(values, n=4) if len(values) > 1 else values * 3


def mebibytes(number):
    return f"{number / 2**20:,.0f} MiB"


def log(message):
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
