"""Markdown of what `compare.py` measured."""

import math
import statistics

from benchmarks.attention.peers.peer import FEATURES, HEAD_DIM, HEADS
from benchmarks.attention.peers.registry import BY_NAME

OURS = "ours"
EXACT = ("keras_exact", "torch_exact")
# Below this part of the threads a figure is marked: something else was running, or the
# library left a core idle.
BUSY = 0.7


def markdown(results):
    """Returns the whole report.

    Args:
        results: What `compare.py` writes as JSON.
    """
    parts = [f"{results['processor']}, {results['threads']} threads."]
    rates = best_rates(results["forms"].values())
    for form, measured in results["forms"].items():
        parts.append(f"## {form.capitalize()}")
        for name, reason in measured["absent"].items():
            parts.append(f"{BY_NAME[name].title} does not run here: {reason}")
        passes = dict.fromkeys(point["pass"] for point in measured["points"])
        for pass_name in passes:
            points = [x for x in measured["points"] if x["pass"] == pass_name]
            parts.append(f"### {form.capitalize()}, {pass_name}")
            parts.append(table(points, results["threads"]))
            parts.append("\n".join(summary(points, rates, measured, pass_name)))
        parts.append(foot(measured))
    return "\n\n".join(part for part in parts if part)


def table(points, threads):
    """Rows by length: time, extra memory, and how many times ours a peer takes."""
    names = list(points[0]["times"])
    header = ["tokens", *(BY_NAME[name].title for name in names)]
    rows = [header, ["---:"] * len(header)]
    for point in points:
        rows.append(
            [f"{point['length']:,}", *(cell(point, name, threads) for name in names)]
        )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def cell(point, name, threads, base=OURS):
    """One peer at one point, such as `21 ms / 30 MiB (2.9×, 2.7–3.1)`.

    Args:
        point: Dictionary with the times of each peer.
        name: Name of the peer.
        threads: Threads that it might use.
        base: Name of the one whose times the ratios are to.
    """
    times = point["times"]
    if "missing" in times[name]:
        return times[name]["missing"]
    text = f"{median(times, name) * 1e3:,.3g} ms"
    if median(times, name) >= 1:
        text = f"{median(times, name) * 1e3:,.0f} ms"
    if name in point.get("memory", {}):
        text += f" / {point['memory'][name] / 2**20:,.0f} MiB"
    cores = statistics.median(
        cpu / wall
        for cpu, wall in zip(
            times[name]["cpu_seconds"], times[name]["seconds"], strict=True
        )
    )
    if cores < BUSY * threads:
        text += f" [{cores:.1f} cores]"
    if name != base and "missing" not in times[base]:
        ratios = by_round(times, name, base)
        text += f" ({statistics.median(ratios):.2f}×, "
        text += f"{min(ratios):.2f}–{max(ratios):.2f})"
    return text


def summary(points, rates, measured, pass_name):
    """Lines below a table: best peers, growth, crossings, limit, tracing."""
    points = [point for point in points if "missing" not in point["times"][OURS]]
    for point in points:
        ratios = {
            name: statistics.median(by_round(point["times"], name))
            for name, times in point["times"].items()
            if name != OURS and "missing" not in times
        }
        if ratios:
            best = min(ratios, key=ratios.get)
            line = f"- {point['length']:,} tokens: {ratios[best]:.2f}× as fast as the "
            yield f"{line}best peer, {BY_NAME[best].title}{least_memory(point)}."
    for name in EXACT:
        yield from crossing(points, name)
    if len(points) > 1:
        yield from growth(points)
    if rates and pass_name == "forward":
        yield from parts_of_limit(points, rates)
    traces = measured.get("traces", {}).get(pass_name)
    if traces:
        seconds = ", ".join(f"{x:.2f} s at {int(n):,}" for n, x in traces.items())
        yield f"- Tracing: {seconds}."


def least_memory(point):
    """The memory of the FAVOR+ peer that needs least, as a part of a sentence."""
    memory = {
        name: amount
        for name, amount in point.get("memory", {}).items()
        if name not in (OURS, *EXACT)
    }
    if not memory:
        return ""
    least = min(memory, key=memory.get)
    ratio = memory[least] / max(point["memory"][OURS], 1)
    title = BY_NAME[least].title
    return f"; the FAVOR+ peer of least memory, {title}, takes {ratio:.1f}× ours"


def crossing(points, name):
    """From which length on ours is faster than an exact peer, if both were timed."""
    compared = [
        (point["length"], statistics.median(by_round(point["times"], name)))
        for point in points
        if name in point["times"] and "missing" not in point["times"][name]
    ]
    if not compared:
        return
    first = None
    for length, ratio in reversed(compared):
        if ratio <= 1:
            break
        first = length
    title = BY_NAME[name].title
    if first is None:
        yield f"- Not faster than {title} at {compared[-1][0]:,} tokens."
    else:
        yield f"- Faster than {title} from {first:,} tokens on (of those measured)."


def growth(points):
    """Powers of T by which ours grows, from the second length on where there is one."""
    first, last = points[min(1, len(points) - 2)], points[-1]
    grown = math.log(median(last["times"], OURS) / median(first["times"], OURS))
    exponent = grown / math.log(last["length"] / first["length"])
    yield (
        f"- Time grows with T to the {exponent:.3f} from {first['length']:,} to "
        f"{last['length']:,} tokens."
    )


def parts_of_limit(points, rates):
    """How much of the machine's limit the forward pass reaches."""
    product, exponential = rates["square product"], rates["exponentials"]
    for point in points:
        operations, exponentials = forward_work(point["length"])
        limit = operations / product + exponentials / exponential
        part = limit / median(point["times"], OURS)
        yield (
            f"- {point['length']:,} tokens: {part:.0%} of the limit ({limit * 1e3:,.0f}"
            " ms: the products at the best rate of a square product, then the "
            "exponentials)."
        )


def best_rates(forms):
    """Returns the best rate of each kind that any framework reached in any form."""
    best = {}
    for measured in forms:
        for rates in measured.get("rates", {}).values():
            for name, rate in rates.items():
                best[name] = max(rate, best.get(name, 0))
    return best


def forward_work(length):
    """Operations and exponentials of a forward pass that nothing can do without.

    Features of queries and keys; the state and what is read of it, with one column for
    the denominator. A causal pass needs more, within its chunks, that is not counted.
    """
    positions = HEADS * length
    products = 2 * HEAD_DIM * FEATURES + 2 * FEATURES * (HEAD_DIM + 1)
    return 2 * positions * products, 2 * positions * FEATURES


def foot(measured):
    """Rates of the machine and versions of libraries."""
    lines = []
    for framework, rates in measured.get("rates", {}).items():
        text = ", ".join(
            f"{name} {rate / 1e9:,.3g} G/s" for name, rate in rates.items()
        )
        lines.append(f"- Rates of {framework}: {text}.")
    lines += [f"- {version}." for version in measured["versions"].values()]
    return "\n".join(lines)


def by_round(times, name, base=OURS):
    """How many times the time of `base` a peer takes, round by round."""
    pairs = zip(times[name]["seconds"], times[base]["seconds"], strict=True)
    return [theirs / its for theirs, its in pairs]


def median(times, name):
    return statistics.median(times[name]["seconds"])
