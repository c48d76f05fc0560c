"""Time and memory of linear attention beside other implementations.

    python -m benchmarks.attention.compare --output attention.json

Each point is printed and written as soon as it is measured, and the same command goes
on after the last one where it was ended. Prints Markdown. B = 1, H = 8, D = 64,
M = 256, float32. Peers that cannot share the project's environment get their own, made
at the first run: see `environments.py`.
"""

import argparse
import pathlib
import sys

from benchmarks import memory, processor
from benchmarks.attention import report
from benchmarks.attention.peers.peer import PASSES
from benchmarks.attention.peers.registry import BOTH, BY_NAME, ENTRIES
from benchmarks.attention.sweep import Sweep, WrongAnswer
from benchmarks.attention.worker_process import OverLimit, WorkerFailed
from benchmarks.results import start, write

LENGTHS = (1_024, 4_096, 16_384, 65_536)
MEASURES = ("time", "memory", "trace", "limits")


def main():
    arguments = parse()
    of_command = {
        "processor": processor.describe(),
        "threads": arguments.threads,
        "lengths": sorted(arguments.lengths),
        "peers": sorted(arguments.peers),
        "measures": sorted(arguments.measures),
    }
    results = start(arguments.output, of_command, forms={})
    try:
        for form in arguments.forms:
            measure(form, arguments, results)
    except (WrongAnswer, OverLimit, WorkerFailed) as error:
        # Beside wrong answers these are failures of ours; a peer's are reported.
        sys.exit(f"No figures: {error}")
    print(report.markdown(results))


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lengths", type=int, nargs="+", default=LENGTHS)
    parser.add_argument("--forms", nargs="+", default=BOTH, choices=BOTH)
    parser.add_argument("--passes", nargs="+", default=PASSES, choices=PASSES)
    names = [entry.name for entry in ENTRIES]
    parser.add_argument(
        "--peers", nargs="+", default=names[1:], choices=names[1:], help="beside ours"
    )
    parser.add_argument("--measures", nargs="+", default=MEASURES, choices=MEASURES)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--rounds", type=int, default=15, help="most turns of each peer at a point"
    )
    parser.add_argument(
        "--point-seconds",
        type=float,
        default=30,
        help="no new round begins at a point after so long (three are always made)",
    )
    parser.add_argument(
        "--limit-seconds", type=float, default=60, help="longest run that is waited for"
    )
    parser.add_argument(
        "--limit-gib",
        type=float,
        default=0.8 * memory.available() / 2**30,
        help="most memory of a process (default: 80 %% of what is available)",
    )
    parser.add_argument(
        "--output",
        type=pathlib.Path,
        default="attention.json",
        help="JSON file to write, after each point; remove it to begin anew "
        "(default: %(default)s)",
    )
    arguments = parser.parse_args()
    if min(arguments.lengths) < 2 or min(arguments.threads, arguments.rounds) < 1:
        parser.error("--lengths must be at least 2; --threads and --rounds at least 1")
    return arguments


def measure(form, arguments, results):
    """Measures one form: adds to `results`, and prints and writes, point by point."""
    sweep = Sweep(
        form,
        [BY_NAME[name] for name in ("ours", *arguments.peers)],
        threads=arguments.threads,
        rounds=arguments.rounds,
        seconds=arguments.point_seconds,
        limit_seconds=arguments.limit_seconds,
        limit_bytes=int(arguments.limit_gib * 2**30),
    )
    lengths = sorted(arguments.lengths)
    places = [(name, n) for name in arguments.passes for n in lengths]
    measured = results["forms"].setdefault(form, {"points": []})
    points = measured["points"]
    done = {(point["pass"], point["length"]) for point in points}
    untimed = [place for place in places if place not in done]
    if "time" not in arguments.measures:
        untimed = []
    traces = measured.setdefault("traces", {})
    untraced = [name for name in arguments.passes if name not in traces]
    if "trace" not in arguments.measures:
        untraced = []
    for point in points:
        for name, times in point["times"].items():
            if "missing" in times:
                sweep.over[name, point["pass"]] = times["missing"]
    with sweep:
        if untimed or untraced or "versions" not in measured:
            sweep.open()
            measured |= {"versions": sweep.versions, "absent": sweep.absent}
        sweep.absent = measured["absent"]
        if "limits" in arguments.measures and "rates" not in measured:
            measured["rates"] = sweep.limits()
        for pass_name in untraced:
            traces[pass_name] = sweep.traces(pass_name, lengths)
        write(arguments.output, results)
        for pass_name, length in untimed:
            times = sweep.times(pass_name, length)
            points.append({"pass": pass_name, "length": length, "times": times})
            print(report.table(points[-1:], arguments.threads), flush=True)
            write(arguments.output, results)
    # After the timed workers have gone, with the machine's memory free.
    if "memory" not in arguments.measures:
        return
    for point in points:
        if "memory" not in point:
            timed = {k for k, v in point["times"].items() if "missing" not in v}
            point["memory"] = sweep.memory(point["pass"], point["length"], timed)
            print(report.table([point], arguments.threads), flush=True)
            write(arguments.output, results)


if __name__ == "__main__":
    main()
