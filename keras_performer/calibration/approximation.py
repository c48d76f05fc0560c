"""The result of measuring approximation: numbers, a table, and a picture."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from keras_performer.extras import pip_line


class Head(NamedTuple):
    """The approximation of one head.

    Attributes:
        layer: Path of the attention layer.
        head: Index of the head.
        error: `‖Â − A‖ / ‖A‖` of the layer as it is.
        uniform: The error of uniform attention, the baseline.
        errors: Dictionary from each candidate map to a dictionary from the number of
            features M to the error; M is `None` if the map draws no projection.
    """

    layer: str
    head: int
    error: float
    uniform: float
    errors: dict[str, dict[int | None, float]]

    def needed(self, target: float) -> dict[str, int | None]:
        """The number of features with which each map has an error of `target`.

        It is the smallest measured M whose error is at most `target`. If there is none,
        it is extrapolated from the largest one, as if the error fell as `1/√M`. This is
        a lower bound: no unbiased map converges faster, and heavy-tailed maps converge
        more slowly until M is large.

        Args:
            target: The largest error that is acceptable, positive.

        Returns:
            Dictionary from maps to M; `None` for a map that draws no projection, whose
            error does not depend on M.

        Raises:
            ValueError: If `target` is not positive.
        """
        if not target > 0:
            raise ValueError(f"`target` must be positive. Received: target={target}")
        return {name: _needed(by_size, target) for name, by_size in self.errors.items()}


class Approximation:
    """How far each head of a model is from exact softmax attention.

    Args:
        heads: List of `Head`s.
    """

    def __init__(self, heads: Iterable[Head]) -> None:
        self.heads = list(heads)

    def table(self, target: float = 0.2) -> str:
        """A Markdown table: each head's error, and what M each map needs for `target`.

        Args:
            target: The largest error that is acceptable, positive.

        Returns:
            Text. Lower bounds beyond the largest M that was measured are marked `≥`.
        """
        maps = list(self.heads[0].errors)
        rows = [
            ["layer", "head", "error", "uniform", *(f"M: {name}" for name in maps)],
            ["---", "---:", "---:", "---:", *("---:" for _ in maps)],
        ]
        for head in self.heads:
            needed = head.needed(target)
            cells = [_cell(needed[name], head.errors[name]) for name in maps]
            error, uniform = f"{head.error:.3f}", f"{head.uniform:.3f}"
            rows.append([head.layer, str(head.head), error, uniform, *cells])
        return "\n".join(f"| {' | '.join(row)} |" for row in rows)

    def plot(self, path: str | Path) -> None:
        """Draws the heads' errors over the number of features, a line for each map.

        Lines are medians over heads, bands reach from the best head to the worst.

        Args:
            path: The file to write; its ending says the format.

        Raises:
            ImportError: If Matplotlib is not installed.
        """
        try:
            from matplotlib.backends.backend_agg import FigureCanvasAgg
            from matplotlib.figure import Figure
        except ImportError as error:
            raise ImportError(
                f"Plotting needs Matplotlib: {pip_line('figures')}"
            ) from error
        figure = Figure(figsize=(7, 4.5), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        for name, by_size in self.heads[0].errors.items():
            sizes = list(by_size)
            of_heads = [[h.errors[name][size] for h in self.heads] for size in sizes]
            middles = [sorted(x)[len(x) // 2] for x in of_heads]
            if sizes == [None]:
                axes.axhline(middles[0], linestyle="--", label=name, color="gray")
                continue
            (line,) = axes.plot(sizes, middles, marker="o", label=name)
            axes.fill_between(
                sizes,
                [min(x) for x in of_heads],
                [max(x) for x in of_heads],
                alpha=0.12,
                color=line.get_color(),
            )
        uniform = sorted(head.uniform for head in self.heads)[len(self.heads) // 2]
        axes.axhline(uniform, linestyle=":", color="black", label="uniform attention")
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xlabel("features M")
        axes.set_ylabel("relative error of the attention matrix")
        axes.legend()
        figure.savefig(Path(path), dpi=150)


def _needed(by_size: dict[int | None, float], target: float) -> int | None:
    sizes = sorted(size for size in by_size if size is not None)
    if not sizes:
        return None
    for size in sizes:
        if by_size[size] <= target:
            return size
    largest = sizes[-1]
    return math.ceil(largest * (by_size[largest] / target) ** 2)


def _cell(needed: int | None, by_size: dict[int | None, float]) -> str:
    if needed is None:
        return f"– ({by_size[None]:.3f})"
    return f"{needed}" if needed in by_size else f"≥ {needed}"
