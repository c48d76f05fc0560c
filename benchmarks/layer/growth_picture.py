"""The picture of `benchmarks.layer.growth`: time and memory against length."""

import os

from benchmarks.layer.passes import FEATURE_DIM, FORWARD, HEAD_DIM, HEADS, TRAINING
from keras_performer.extras import pip_line

LAYERS = {
    "ours": ("FastAttention", "#0072B2", "o"),
    "keras_exact": ("exact attention", "#D55E00", "s"),
}
PASSES = {TRAINING: "-", FORWARD: "--"}


def figure_class():
    """Returns Matplotlib's `Figure`, or says how to install it."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            f"The picture needs Matplotlib: {pip_line('figures')}"
        ) from error
    return Figure


def write(path, results):
    """Draws the points and writes the picture whole, or not at all.

    Args:
        path: Where to.
        results: What `benchmarks.layer.growth` keeps as JSON.
    """
    figure = figure_class()(figsize=(8, 4.6), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.06)
    panels = figure.subplots(1, 2)
    draw(panels[0], results, "seconds", 1.0, "processor time, seconds")
    draw(panels[1], results, "bytes", 2**-20, "memory, MiB")
    figure.legend(
        handles=legend_handles(panels[0]),
        loc="outside upper center",
        ncols=2,
        frameon=False,
        fontsize=10,
    )
    figure.supxlabel(caption(results), fontsize=8, color="#444444")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.png")
    try:
        figure.savefig(temporary, dpi=200, format="png", facecolor="white")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def draw(axes, results, quantity, scale, title):
    """One panel: a line for each layer and pass, which ends where a limit was met."""
    for name, (_, color, marker) in LAYERS.items():
        for pass_name, style in PASSES.items():
            points = sorted(
                (p["length"], p["value"] * scale)
                for p in results["points"]
                if (p["layer"], p["pass"]) == (name, pass_name)
                and p["quantity"] == quantity
                and "value" in p
            )
            if points:
                axes.plot(
                    *zip(*points, strict=True),
                    color=color,
                    linestyle=style,
                    marker=marker,
                    markersize=5,
                    markerfacecolor=color if pass_name == TRAINING else "white",
                )
    axes.margins(y=0.1)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    lengths = sorted({p["length"] for p in results["points"]})
    ticks = lengths[::2]
    axes.set_xticks(ticks, [f"{length:,}" for length in ticks], fontsize=9)
    axes.xaxis.minorticks_off()
    axes.yaxis.set_major_formatter("{x:,g}")
    axes.tick_params(axis="y", labelsize=9)
    axes.set_title(title, fontsize=11)
    axes.set_xlabel("length, tokens", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#e8e8e8", linewidth=0.6, zorder=0)
    mark_ends(axes, results, quantity, scale)


def mark_ends(axes, results, quantity, scale):
    """Says at the end of a layer's lines which limit the next length passes."""
    for name, (_, color, _) in LAYERS.items():
        points = [
            p
            for p in results["points"]
            if (p["layer"], p["quantity"]) == (name, quantity)
        ]
        over = [p for p in points if "over" in p]
        ends = [p for p in points if "value" in p]
        if not over or not ends:
            continue
        last = max(ends, key=lambda p: (p["length"], p["value"]))
        axes.annotate(
            f"longer: over {over[0]['over']}",
            (last["length"], last["value"] * scale),
            (0, 6),
            textcoords="offset points",
            color=color,
            fontsize=9,
            ha="center",
            va="bottom",
        )


def legend_handles(axes):
    """Empty lines that explain colours and dashes."""
    return [
        axes.plot(
            [],
            [],
            color=color,
            linestyle=style,
            marker=marker,
            markersize=5,
            markerfacecolor=color if pass_name == TRAINING else "white",
            label=f"{title}, {pass_name}",
        )[0]
        for title, color, marker in LAYERS.values()
        for pass_name, style in PASSES.items()
    ]


def caption(results):
    """What was measured, on what, in two lines."""
    threads = (
        "one thread" if results["threads"] == 1 else f"{results['threads']} threads"
    )
    return (
        f"One attention layer, batch 1, {FEATURE_DIM} features, {HEADS} heads of "
        f"{HEAD_DIM}, float32; exact: keras.layers.MultiHeadAttention.\n"
        f"{results['processor']}, {threads}; TensorFlow {results['tensorflow']}; "
        "memory beside inputs and weights."
    )
