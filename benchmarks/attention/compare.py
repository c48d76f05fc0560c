"""Time and memory of linear attention beside other implementations.

    python -m benchmarks.attention.compare --output attention.json

Prints Markdown. B = 1, H = 8, D = 64, M = 256, float32. Peers that cannot share the
project's environment get their own, made at the first run: see `environments.py`.
"""

import argparse
import json
import pathlib
import platform
import sys

from benchmarks import memory
from benchmarks.attention import report
from benchmarks.attention.peers.peer import PASSES
from benchmarks.attention.peers.registry import BOTH, ENTRIES
from benchmarks.attention.sweep import Sweep, WrongAnswer
from benchmarks.attention.worker_process import OverLimit, WorkerFailed

LENGTHS = (1_024, 4_096, 16_384, 65_536)
MEASURES = ("time", "memory", "trace", "limits")


def main():
    arguments = parse()
    results = {
        "processor": processor(),
        "threads": arguments.threads,
        "lengths": sorted(arguments.lengths),
        "forms": {},
    }
    try:
        for form in arguments.forms:
            results["forms"][form] = measure(form, arguments)
    except (WrongAnswer, OverLimit, WorkerFailed) as error:
        # Beside wrong answers these are failures of ours; a peer's are reported.
        sys.exit(f"No figures: {error}")
    print(report.markdown(results))
    if arguments.output:
        write(arguments.output, results)


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
    parser.add_argument("--output", type=pathlib.Path, help="JSON file to write")
    arguments = parser.parse_args()
    if min(arguments.lengths) < 2 or min(arguments.threads, arguments.rounds) < 1:
        parser.error("--lengths must be at least 2; --threads and --rounds at least 1")
    return arguments


def measure(form, arguments):
    """Returns all that is measured of one form, as a dictionary that JSON can hold."""
    sweep = Sweep(
        form,
        ("ours", *arguments.peers),
        threads=arguments.threads,
        rounds=arguments.rounds,
        seconds=arguments.point_seconds,
        limit_seconds=arguments.limit_seconds,
        limit_bytes=int(arguments.limit_gib * 2**30),
    )
    lengths = sorted(arguments.lengths)
    with sweep:
        sweep.open()
        results = {"versions": sweep.versions, "absent": sweep.absent, "points": []}
        if "limits" in arguments.measures:
            results["rates"] = sweep.limits()
        if "trace" in arguments.measures:
            results["traces"] = {
                pass_name: sweep.traces(pass_name, lengths)
                for pass_name in arguments.passes
            }
        if "time" in arguments.measures:
            for pass_name in arguments.passes:
                for length in lengths:
                    times = sweep.times(pass_name, length)
                    point = {"pass": pass_name, "length": length, "times": times}
                    results["points"].append(point)
    # After the timed workers have gone, with the machine's memory free.
    if "memory" in arguments.measures:
        for point in results["points"]:
            timed = {k for k, v in point["times"].items() if "missing" not in v}
            point["memory"] = sweep.memory(point["pass"], point["length"], timed)
    return results


def processor():
    """Returns the name of the processor."""
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def write(path, results):
    """Writes JSON under a temporary name and renames it."""
    temporary = path.with_name(f"{path.name}.writing")
    temporary.write_text(f"{json.dumps(results, indent=1)}\n")
    temporary.replace(path)


if __name__ == "__main__":
    main()
