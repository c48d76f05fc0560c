"""Time of linear attention where each implementation has the same error.

    python -m benchmarks.attention.equal_error --output equal_error.json

What a user buys is closeness to softmax attention, and not features. For each
implementation and feature map, on the same queries, keys and values, the least M is
found at which the output is near enough to exact softmax attention; then all are timed
in turns, each with its M, at a long length. Answers are checked first, as by
`compare.py`. Each point is printed and written as soon as it is measured, and the same
command goes on after the last one where it was ended. B = 1, H = 8, D = 64, float32.
"""

import argparse
import dataclasses
import pathlib
import statistics
import sys

from benchmarks import memory, processor
from benchmarks.attention import report
from benchmarks.attention.peers.inputs import KINDS
from benchmarks.attention.peers.peer import PASSES
from benchmarks.attention.peers.registry import BOTH, BY_NAME, OUR_MAPS
from benchmarks.attention.sweep import Sweep, WrongAnswer, some_rows
from benchmarks.attention.worker_process import OverLimit, WorkerFailed
from benchmarks.results import start, write

PEERS = ("kernel_attention", "performer_pytorch", "fast_transformers")
NAMES = (*(entry.name for entry in OUR_MAPS), *PEERS)
FEATURES = (16, 32, 64, 128, 256, 512)
# Arguments that all figures of a file depend on.
OF_COMMAND = ("threads", "names", "features", "draws", "error_length", "rows")
OF_COMMAND = (*OF_COMMAND, "target", "length")


def main(arguments=None):
    """Measures what is not in the file yet, and prints Markdown."""
    arguments = parse(arguments)
    of_command = {name: getattr(arguments, name) for name in OF_COMMAND}
    of_command["processor"] = processor.describe()
    results = start(arguments.output, of_command, settings={})
    print(f"{results['processor']}, {arguments.threads} threads", flush=True)
    try:
        for data in arguments.data:
            for form in arguments.forms:
                measure(data, form, arguments, results)
    except (WrongAnswer, OverLimit, WorkerFailed) as error:
        sys.exit(f"No figures: {error}")
    for title, setting in results["settings"].items():
        print(f"\n### {title.capitalize()}\n\n{markdown(setting, results)}")


def parse(arguments=None):
    """The flags."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--names", nargs="+", default=NAMES, choices=NAMES, help="what is compared")
    add("--features", type=int, nargs="+", default=FEATURES, help="M to choose from")
    add("--data", nargs="+", default=KINDS, choices=KINDS, help="kinds of inputs")
    add("--target", type=float, default=0.5, help="share of uniform attention's error")
    add("--draws", type=int, default=8, help="projections that errors are means of")
    add("--error-length", type=int, default=2048, help="tokens where errors are taken")
    add("--rows", type=int, default=64, help="positions that are compared there")
    add("--length", type=int, default=16_384, help="tokens where time is taken")
    add("--forms", nargs="+", default=BOTH, choices=BOTH)
    add("--threads", type=int, default=2)
    add("--rounds", type=int, default=15, help="most turns of each at a point")
    add("--point-seconds", type=float, default=30, help="no new round after so long")
    add("--limit-seconds", type=float, default=60, help="longest run waited for")
    add("--output", type=pathlib.Path, default=pathlib.Path("equal_error.json"))
    parsed = parser.parse_args(arguments)
    if min(parsed.draws, parsed.rows) < 2 or parsed.rows > parsed.error_length:
        parser.error("--draws must be at least 2, --rows from 2 to --error-length")
    if not any(BY_NAME[name].is_ours for name in parsed.names):
        parser.error(f"--names must have one of ours. Received: {parsed.names}")
    parsed.names = [name for name in NAMES if name in parsed.names]
    parsed.features = sorted(parsed.features)
    return parsed


def measure(data, form, arguments, results):
    """Measures one kind of inputs in one form: adds to `results`, point by point."""
    empty = {"data": data, "form": form, "errors": {}, "times": {}}
    setting = results["settings"].setdefault(f"{data}, {form}", empty)
    if len(setting["times"]) == len(PASSES):
        return
    entries = [BY_NAME[name] for name in arguments.names]
    sweep = Sweep(
        form,
        [
            dataclasses.replace(entry, options={**entry.options, "data": data})
            for entry in entries
        ],
        threads=arguments.threads,
        rounds=arguments.rounds,
        seconds=arguments.point_seconds,
        limit_seconds=arguments.limit_seconds,
        limit_bytes=int(0.8 * memory.available()),
    )
    with sweep:
        sweep.open()
        setting |= {"versions": sweep.versions, "absent": sweep.absent}
        for entry in sweep.present():
            for features in arguments.features:
                if reaches(setting, entry.name, arguments.target):
                    break
                measure_error(sweep, entry.name, features, arguments, setting)
                write(arguments.output, results)
        chosen = choose(setting, arguments.target)
        for name, features in chosen.items():
            sweep.configure(name, features=features)
        sweep.entries = [entry for entry in sweep.entries if entry.name in chosen]
        for pass_name in PASSES:
            if pass_name not in setting["times"]:
                times = sweep.times(pass_name, arguments.length) if chosen else {}
                setting["times"][pass_name] = times
                for name in times:
                    time = cell(setting, pass_name, name, results)
                    title = BY_NAME[name].title
                    print(f"{data}, {form}, {pass_name}, {title}: {time}", flush=True)
                write(arguments.output, results)


def measure_error(sweep, name, features, arguments, setting):
    """Adds the errors of one implementation with M features, one for each draw."""
    by_features = setting["errors"].setdefault(name, {})
    if str(features) in by_features:
        return
    rows = some_rows(arguments.error_length, arguments.rows)
    errors = []
    for seed in range(arguments.draws):
        sweep.configure(name, features=features, seed=seed)
        error, setting["uniform"] = sweep.workers[name].ask(
            "errors", length=arguments.error_length, rows=rows
        )
        errors.append(error)
    by_features[str(features)] = errors
    print(
        f"{setting['data']}, {setting['form']}, {BY_NAME[name].title}, "
        f"M = {features}: error {with_standard_error(errors)}",
        flush=True,
    )


def reaches(setting, name, target):
    """Whether the largest M of those measured has at most the wanted error."""
    errors = list(setting["errors"].get(name, {}).values())
    return bool(errors) and statistics.mean(errors[-1]) <= target * setting["uniform"]


def choose(setting, target):
    """The M to time each implementation with.

    That of a peer that does not reach the target is the largest: its time is then less
    than equal errors would take. Ours are left out where they do not, and all where
    none of ours does.

    Returns:
        Dictionary from names to M.
    """
    chosen = {
        name: int(list(by_features)[-1])
        for name, by_features in setting["errors"].items()
        if reaches(setting, name, target) or not BY_NAME[name].is_ours
    }
    return chosen if any(BY_NAME[name].is_ours for name in chosen) else {}


def markdown(setting, results):
    """A table of one kind of inputs in one form."""
    target = results["target"] * setting["uniform"]
    lines = [
        f"Error of uniform attention {setting['uniform']:.3f}, wanted {target:.3f}.",
        f"Times at {results['length']:,} tokens; ratios are to the fastest of ours.",
        "",
        "| | M | error | " + " | ".join(PASSES) + " |",
        "|---|---|---|" + "---|" * len(PASSES),
    ]
    for name, by_features in setting["errors"].items():
        features, errors = list(by_features.items())[-1]
        mark = "" if reaches(setting, name, results["target"]) else "more than "
        cells = [BY_NAME[name].title, mark + features, with_standard_error(errors)]
        cells += [cell(setting, pass_name, name, results) for pass_name in PASSES]
        lines.append(f"| {' | '.join(cells)} |")
    for name, reason in setting["absent"].items():
        lines += ["", f"{BY_NAME[name].title} does not run here: {reason}"]
    return "\n".join(lines)


def cell(setting, pass_name, name, results):
    """The time of one implementation, beside that of the fastest of ours."""
    times = setting["times"].get(pass_name, {})
    if name not in times:
        return "–"
    ours = [other for other in times if BY_NAME[other].is_ours]
    base = min(ours, key=lambda other: report.median(times, other))
    return report.cell({"times": times}, name, results["threads"], base)


def with_standard_error(errors):
    """The mean over draws, ± its standard error."""
    spread = statistics.stdev(errors) / len(errors) ** 0.5
    return f"{statistics.mean(errors):.3f} ± {spread:.3f}"


if __name__ == "__main__":
    main()
