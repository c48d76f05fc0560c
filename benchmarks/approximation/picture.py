"""The picture of `benchmarks.approximation.error`: inputs by projections."""

import os

import numpy as np

from keras_performer.extras import pip_line

PROJECTIONS = {
    "gaussian": ("independent rows", "o"),
    "orthogonal": ("orthogonal rows", "s"),
    "simplex": ("simplex rows", "^"),
}
MAPS = {
    "trigonometric": ("trigonometric", "#777777"),
    "softmax": ("softmax (FAVOR+)", "#0072B2"),
    "hyperbolic": ("hyperbolic", "#E69F00"),
    "favor_plus_plus": ("FAVOR++", "#009E73"),
    "favor_sharp": ("FAVOR# (SADERF)", "#D55E00"),
    "aderf": ("FAVOR# (ADERF)", "#CC79A7"),
}
# Settings whose outputs are drawn.
OUTPUTS = ("skewed", "normal")
# The scale of an output's error ends so many times above that of uniform attention.
TOP_OF_SCALE = 25


def figure_class():
    """Returns Matplotlib's `Figure`, or says how to install it."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            f"The picture needs Matplotlib: {pip_line('figures')}"
        ) from error
    return Figure


def write(path, settings, kernels, outputs):
    """Draws all figures and writes the picture whole, or not at all.

    Args:
        path: Where to.
        settings: The settings of `benchmarks.approximation.measures`.
        kernels: Points of the kernel by the name of a setting.
        outputs: Points of the output, likewise.
    """
    figure = figure_class()(figsize=(9.5, 10.5), layout="constrained")
    by_name = {setting.name: setting for setting in settings}
    grid = figure.subplots(
        len(kernels) + len(OUTPUTS), len(PROJECTIONS), sharex=True, sharey="row"
    )
    for row, (name, points) in zip(grid, kernels.items(), strict=False):
        draw_kernel(row, by_name[name], points)
    for row, name in zip(grid[len(kernels) :], OUTPUTS, strict=True):
        draw_output(row, by_name[name], outputs[name])
    for axes, (title, _) in zip(grid[0], PROJECTIONS.values(), strict=True):
        axes.set_title(title, fontsize=11)
    for axes in grid[-1]:
        axes.set_xlabel("features M")
    for label, axes in zip("abcdefgh", grid[:, 0], strict=False):
        axes.text(
            -0.3, 1.02, label, transform=axes.transAxes, weight="bold", fontsize=12
        )
    figure.align_ylabels(grid[:, 0])
    legend(figure, grid[0, 0])
    temporary = path.with_name(f".{path.name}.{os.getpid()}.png")
    try:
        figure.savefig(temporary, dpi=160, format="png")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def draw_kernel(row, setting, points):
    """M times the mean squared error, which is level for independent rows."""
    for axes, projection in zip(row, PROJECTIONS, strict=True):
        for name, series in chosen(points, projection):
            level = series[0].line * series[0].features
            axes.axhline(level, color=MAPS[name][1], linewidth=1.2, zorder=1)
            scatter(axes, name, projection, series, times_features=True)
    row[0].set_ylabel(f"{setting.title}\nM × error of the kernel")


def draw_output(row, setting, points):
    """The mean squared error of the output, beside that of uniform attention."""
    uniform = setting.uniform_error()
    top = TOP_OF_SCALE * uniform
    lowest = min(point.error.mean() for point in points)
    for axes, projection in zip(row, PROJECTIONS, strict=True):
        axes.axhline(uniform, color="black", linewidth=0.8, linestyle=":")
        for name, series in chosen(points, projection):
            means = [point.error.mean() for point in series]
            if min(means) < top:
                scatter(axes, name, projection, series, joined=True)
                continue
            title, color = MAPS[name]
            low, high = rounded(min(means)), rounded(max(means))
            text = f"{title} is off the scale:\n{low} to {high}"
            axes.annotate(
                text,
                (0.98, 0.98),
                None,
                "axes fraction",
                ha="right",
                va="top",
                color=color,
                fontsize=8,
            )
        axes.set_ylim(0.6 * min(lowest, uniform), top)
        axes.yaxis.set_minor_formatter("")
    row[0].set_ylabel(f"{setting.title}\nerror of the output")
    right = max(point.features for point in points)
    row[0].text(
        right, uniform * 1.08, "uniform attention", fontsize=8, ha="right", va="bottom"
    )


def chosen(points, projection):
    """The series of one panel: names of maps and their points, by rising M."""
    for name in MAPS:
        series = [p for p in points if (p.map, p.projection) == (name, projection)]
        if series:
            yield name, series


def scatter(axes, name, projection, series, times_features=False, joined=False):
    """Means over draws, with their standard errors."""
    sizes = np.array([point.features for point in series])
    # Points without lines stand beside each other, to tell their error bars apart.
    shift = 0 if joined else 0.07 * (list(MAPS).index(name) - (len(MAPS) - 1) / 2)
    factor = sizes if times_features else 1
    mean = np.array([point.error.mean() for point in series]) * factor
    spread = [np.std(p.error, ddof=1) / np.sqrt(len(p.error)) for p in series]
    axes.errorbar(
        sizes * 2**shift,
        mean,
        yerr=np.array(spread) * factor,
        color=MAPS[name][1],
        marker=PROJECTIONS[projection][1],
        markersize=5,
        markeredgecolor="white",
        markeredgewidth=0.6,
        linestyle="-" if joined else "none",
        linewidth=0.8,
        elinewidth=0.9,
        zorder=2,
    )
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes], fontsize=8)
    axes.xaxis.minorticks_off()
    if times_features:
        ticks = [1, 2, 5, 10, 20]
        axes.set_yticks(ticks, map(str, ticks))
        axes.yaxis.set_minor_formatter("")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e8e8e8", linewidth=0.6, zorder=0)


def rounded(number):
    """One digit that counts, such as 0.6 or 800,000."""
    return f"{float(f'{number:.1g}'):,.6g}"


def legend(figure, axes):
    """Names of the maps above all panels, and what lines and points are."""
    handles = [
        axes.plot([], [], color=color, linewidth=3, label=label)[0]
        for label, color in MAPS.values()
    ]
    figure.legend(
        handles=handles,
        loc="outside upper center",
        ncols=len(handles),
        frameon=False,
        columnspacing=1.2,
        handlelength=1,
        fontsize=9,
        title="Points: means over draws, with their standard errors. "
        "Level lines: closed forms for independent rows.",
        title_fontsize=9,
    )
