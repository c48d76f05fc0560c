"""`ConfusionMatrix`: which classes were taken for which; precision, recall and F1."""

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from keras_performer.extras import pip_line
from keras_performer.models.problems import is_label

_MOST_NUMBERS = 30  # classes; of more, the picture has no numbers in its cells


@dataclasses.dataclass(frozen=True)
class ClassScores:
    """Scores of one class, or their mean over classes.

    Attributes:
        precision: Share of right ones among those that were taken for the class.
        recall: Share of right ones among those of the class.
        f1: Harmonic mean of the two.
        support: Number of documents of the class; of a mean, of all classes.
    """

    precision: float
    recall: float
    f1: float
    support: int


class ConfusionMatrix:
    """Counts of documents by true class and predicted class.

    A share of nothing is 0: the precision of a class that was never predicted, the
    recall of one without documents.

    Args:
        label_ids: True class of each document, integers of shape (N,).
        predicted_ids: Predicted class of each document, integers of shape (N,).
        labels: Names of the C classes.

    Attributes:
        counts: Integers of shape (C, C), a row for each true class and a column for
            each predicted one.
        labels: The names.

    Raises:
        ValueError: If the two arrays differ in shape, are empty, or have an integer
            that is no index into `labels`.

    Example:

    >>> matrix = ConfusionMatrix([0, 0, 0, 1], [0, 0, 1, 1], ["farm", "sea"])
    >>> matrix.counts.tolist()
    [[2, 1], [0, 1]]
    >>> matrix.scores()["sea"]
    ClassScores(precision=0.5, recall=1.0, f1=0.66..., support=1)
    >>> round(matrix.mean(weighted=True).recall, 2)
    0.75
    >>> print(matrix.text())
                   1     2
      1 farm       2     1
      2 sea        0     1
    """

    def __init__(
        self,
        label_ids: npt.ArrayLike,
        predicted_ids: npt.ArrayLike,
        labels: Sequence[str],
    ) -> None:
        true, predicted = np.asarray(label_ids), np.asarray(predicted_ids)
        if true.ndim != 1 or true.shape != predicted.shape or not true.size:
            raise ValueError(
                "`label_ids` and `predicted_ids` must be arrays of one shape (N,) with "
                f"at least one document. Received: {true.shape} and {predicted.shape}"
            )
        for name, ids in (("label_ids", true), ("predicted_ids", predicted)):
            if ids.min() < 0 or ids.max() >= len(labels):
                raise ValueError(
                    f"`{name}` must be indices of the {len(labels)} labels. Received: "
                    f"from {ids.min()} to {ids.max()}"
                )
        self.labels = tuple(labels)
        size = len(self.labels)
        cells = np.bincount(true * size + predicted, minlength=size * size)
        self.counts = cells.reshape(size, size)

    def scores(self) -> dict[str, ClassScores]:
        """Returns the `ClassScores` of each class, by its name."""
        columns = zip(*self._columns(), strict=True)
        return {
            label: ClassScores(float(precision), float(recall), float(f1), int(support))
            for label, (precision, recall, f1, support) in zip(
                self.labels, columns, strict=True
            )
        }

    def mean(self, weighted: bool = False) -> ClassScores:
        """Returns the mean of the classes' scores.

        Args:
            weighted: Whether a class counts as often as it has documents (the weighted
                average), or each the same (the macro average). A class without
                documents that was never predicted counts in neither.

        Returns:
            `ClassScores`.
        """
        *scores, support = self._columns()
        weights = support if weighted else (support + self.counts.sum(0) > 0)
        precision, recall, f1 = (
            float(np.average(score, weights=weights)) for score in scores
        )
        return ClassScores(precision, recall, f1, int(support.sum()))

    def _columns(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        right, support = self.counts.diagonal(), self.counts.sum(1)
        predicted = self.counts.sum(0)
        return (
            right / np.maximum(predicted, 1),
            right / np.maximum(support, 1),
            2 * right / np.maximum(predicted + support, 1),
            support,
        )

    def text(self) -> str:
        """Returns the counts as lines of text: true classes by predicted ones.

        The columns have the numbers of the rows.
        """
        width = 5 + max(0, len(str(self.counts.max())) - 4)
        longest = max(map(len, self.labels))
        numbers = range(1, len(self.labels) + 1)
        digits = max(3, len(str(len(self.labels))))
        lines = [" " * (digits + 1 + longest) + _cells(numbers, width)]
        for number, label, row in zip(numbers, self.labels, self.counts, strict=True):
            lines.append(f"{number:>{digits}} {label:<{longest}}{_cells(row, width)}")
        return "\n".join(lines)

    def save_picture(self, path: str | os.PathLike[str]) -> None:
        """Draws the matrix as a PNG file; colours are shares of the true class.

        Args:
            path: Path of the file.

        Raises:
            ImportError: If Matplotlib is not installed.
            OSError: If the file cannot be written.
        """
        size = len(self.labels)
        inches = 2.5 + 0.45 * min(size, 60)
        figure = figure_class()(figsize=(inches + 1, inches), layout="constrained")
        axes = figure.subplots()
        shares = self.counts / np.maximum(self.counts.sum(1, keepdims=True), 1)
        image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        figure.colorbar(image, label="share of the true class", shrink=0.8)
        # Labels are names of folders: `$` in one is no formula.
        names = [label.replace("$", r"\$") for label in self.labels]
        axes.set_xticks(range(size), names, rotation=90)
        axes.set_yticks(range(size), names)
        axes.set(xlabel="predicted", ylabel="true")
        if size <= _MOST_NUMBERS:
            for (row, column), count in np.ndenumerate(self.counts):
                color = "white" if shares[row, column] > 0.5 else "black"
                axes.text(column, row, count, ha="center", va="center", color=color)
        figure.savefig(path, dpi=150, format="png", facecolor="white")


def label_scores(
    targets: npt.ArrayLike, probabilities: npt.ArrayLike, labels: Sequence[str]
) -> dict[str, ClassScores]:
    """Precision, recall and F1 of each of several labels, given from a half on.

    Args:
        targets: 1 for each label that a document has, 0 for others, (N, K).
        probabilities: Probability of each label, (N, K).
        labels: Names of the K labels.

    Returns:
        `ClassScores` by label.

    Example:

    >>> label_scores([[1], [1], [0]], [[0.9], [0.2], [0.1]], ["sea"])["sea"]
    ClassScores(precision=1.0, recall=0.5, f1=0.66..., support=2)
    """
    true = np.asarray(targets, int)
    predicted: np.ndarray = is_label(np.asarray(probabilities)).astype(int)
    return {
        label: ConfusionMatrix(of_true, of_predicted, ("no", "yes")).scores()["yes"]
        for label, of_true, of_predicted in zip(
            labels, true.T, predicted.T, strict=True
        )
    }


def figure_class() -> Any:
    """Returns Matplotlib's `Figure`.

    Raises:
        ImportError: If Matplotlib is not installed; it names the pip line.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "The picture of the confusion matrix needs Matplotlib. Install it with: "
            f"{pip_line('figures')}"
        ) from error
    return Figure


def _cells(values: Any, width: int) -> str:
    return "".join(f" {value:>{width}}" for value in values)
