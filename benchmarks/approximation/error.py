"""Error of random feature maps and projections over the number of features.

    python -m benchmarks.approximation.error --output approximation_error.png

Figure 4 of arXiv 2009.14794, with more maps and projections, and with the closed forms
of the kernel's error. Before anything is written the measured points are checked
against them: the exit code is 1, and no picture is written, where they disagree.
"""

import argparse
import pathlib
import sys

import numpy as np
import tensorflow as tf

from benchmarks.approximation import measures, picture

STANDARD_ERRORS = 4
# Projections that lower the error of positive features.
COUPLED = ("orthogonal", "simplex")
FEATURES = (16, 32, 64, 128, 256, 512, 1024)


class Mismatch(Exception):
    """A measured point is not where the mathematics puts it."""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=pathlib.Path, help="picture to write (PNG)")
    parser.add_argument("--tokens", type=at_least(2), default=4096, help="T and S")
    parser.add_argument("--head-dim", type=at_least(2), default=16, help="D")
    parser.add_argument(
        "--draws", type=at_least(4), default=15, help="projections for each point"
    )
    parser.add_argument(
        "--features", type=at_least(4), nargs="+", default=FEATURES, help="M, even"
    )
    arguments = parser.parse_args()
    odd = [size for size in arguments.features if size % 2]
    if odd:
        parser.error(f"--features must be even, as maps have pairs. Received: {odd}")
    if arguments.output:
        picture.figure_class()
        if not arguments.output.parent.is_dir():
            parser.error(f"--output: no folder {arguments.output.parent}")

    # One trace for each map, M and setting is meant; TensorFlow warns of many.
    tf.get_logger().setLevel("ERROR")
    sizes = sorted(set(arguments.features))
    settings = measures.settings(arguments.tokens, arguments.head_dim)
    try:
        for setting in settings:
            measures.check_fast_form(setting, sizes[-1])
        kernels = {
            setting.name: measures.kernel_errors(setting, sizes, arguments.draws)
            for setting in settings
            if setting.has_lines
        }
        for name, points in kernels.items():
            check(name, points)
    except (Mismatch, measures.WrongAnswer) as error:
        sys.exit(f"Refused: {error}")
    outputs = {
        setting.name: measures.output_errors(setting, sizes, arguments.draws)
        for setting in settings
    }
    print(report(settings, kernels, outputs))
    if arguments.output:
        picture.write(arguments.output, settings, kernels, outputs)


def at_least(least):
    """Returns a type of arguments: integers that are not below `least`."""

    def integer(text):
        if int(text) < least:
            raise argparse.ArgumentTypeError(f"{text} is less than {least}")
        return int(text)

    return integer


def check(setting, points):
    """Raises `Mismatch` unless the measured kernel is what theory says.

    Every estimate is unbiased; independent rows have the error of the closed form; and
    coupled rows have no more of it with positive features, and less over all M.
    """
    for point in points:
        where = f"{point.map} with {point.projection} rows, M = {point.features}, "
        where += f"{setting} inputs"
        if abs(point.bias) > STANDARD_ERRORS * point.bias_error:
            raise Mismatch(
                f"{where}: the estimates are biased by {point.bias:.3g}, which is over "
                f"{STANDARD_ERRORS} standard errors ({point.bias_error:.2g} each)."
            )
        error = point.error.mean()
        excess = (error - point.line) / measures.standard_error(point.error)
        if point.projection == "gaussian" and abs(excess) > STANDARD_ERRORS:
            raise Mismatch(
                f"{where}: the mean squared error is {error:.4g}, expected "
                f"{point.line:.4g}: off by {abs(excess):.1f} standard errors."
            )
        coupled = point.map == "softmax" and point.projection in COUPLED
        if coupled and excess > STANDARD_ERRORS:
            raise Mismatch(
                f"{where}: the mean squared error is {error:.4g}, expected at most "
                f"{point.line:.4g}: off by {excess:.1f} standard errors."
            )
    for projection in COUPLED:
        ratio = ratio_to_line(points, "softmax", projection)
        if ratio >= 1:
            raise Mismatch(
                f"softmax with {projection} rows, {setting} inputs: {ratio:.2f} times "
                "the error of independent rows over all M, expected less than 1."
            )


def ratio_to_line(points, feature_map, projection):
    """Geometric mean over M of the measured error over that of independent rows."""
    ratios = [
        point.error.mean() / point.line
        for point in points
        if (point.map, point.projection) == (feature_map, projection)
    ]
    return np.exp(np.mean(np.log(ratios)))


def report(settings, kernels, outputs):
    """Markdown of all figures: means over draws, ± their standard deviation."""
    parts = []
    for setting in settings:
        parts.append(f"## {setting.title}")
        if setting.name in kernels:
            points = kernels[setting.name]
            parts += ["### Kernel", table(points), ratios(points)]
        parts += ["### Output", table(outputs[setting.name])]
        parts.append(
            f"Attention to all keys alike: {setting.uniform_error():.2e}; mean square "
            f"of the output: {np.mean(np.square(setting.exact)):.2e}."
        )
    return "\n\n".join(parts)


def table(points):
    """Rows by map and projection, columns by M."""
    sizes = list(dict.fromkeys(point.features for point in points))
    rows = [["map", "rows", *map(str, sizes)], ["---", "---", *["---:"] * len(sizes)]]
    series = {}
    for point in points:
        series.setdefault((point.map, point.projection), []).append(point)
    for (feature_map, projection), line in series.items():
        if projection == "gaussian" and line[0].line is not None:
            expected = [f"{point.line:.2e}" for point in line]
            rows.append([feature_map, "closed form", *expected])
        measured = [f"{p.error.mean():.2e} ± {p.error.std():.0e}" for p in line]
        rows.append([feature_map, projection, *measured])
    return markdown(rows)


def ratios(points):
    """How much of the closed form each projection has, and the maps' second moments."""
    rows = [["map", "E log second moment", *measures.PROJECTIONS]]
    rows.append(["---", *["---:"] * (len(rows[0]) - 1)])
    for name in dict.fromkeys(point.map for point in points):
        moment = next(p.log_second_moment for p in points if p.map == name)
        of_line = [ratio_to_line(points, name, p) for p in measures.PROJECTIONS]
        rows.append([name, f"{moment:.2f}", *(f"{x:.2f}" for x in of_line)])
    return "Measured over closed form, all M:\n\n" + markdown(rows)


def markdown(rows):
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    main()
