"""What the outputs of a classifier mean: one label, several labels, or a number.

All that differs between the three in a model stands here: its last activation, the
loss, how windows and experts are joined, and how good outputs are.
"""

import abc
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from keras_performer.models.experts import (
    SMALLEST_LABEL_PROBABILITY,
    SMALLEST_PROBABILITY,
    ProductOfExperts,
    ProductOfLabelExperts,
    SumOfExperts,
)


@keras.saving.register_keras_serializable(package="keras_performer")
class SmoothedSparseCategoricalCrossentropy(keras.losses.Loss):
    """`keras.losses.CategoricalCrossentropy` with label smoothing, of integer labels.

    Args:
        label_smoothing: Share of the probability of the right class that is spread over
            all classes, from 0 and below 1.
        reduction: Reduction of `keras.losses.Loss`.
        name: Name of the loss.
        dtype: Dtype of the loss.

    Call arguments:
        y_true: Integer tensor of shape (B,), or (B, 1).
        y_pred: Probabilities, tensor of shape (B, K).

    Example:

    >>> from keras_performer.models.problems import (
    ...     SmoothedSparseCategoricalCrossentropy,
    ... )
    >>> loss = SmoothedSparseCategoricalCrossentropy(label_smoothing=0.5)
    >>> round(float(loss([0], [[0.75, 0.25]])), 4)  # the least: 0.75 is what it asks
    0.5623
    """

    def __init__(
        self,
        label_smoothing: float = 0.0,
        reduction: str | None = "sum_over_batch_size",
        name: str = "smoothed_sparse_categorical_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.label_smoothing = label_smoothing

    def call(self, y_true: Any, y_pred: Any) -> Any:
        y_pred = ops.convert_to_tensor(y_pred)
        # Keras makes floats of all targets.
        labels = ops.cast(ops.reshape(ops.convert_to_tensor(y_true), (-1,)), "int32")
        return keras.losses.categorical_crossentropy(
            ops.one_hot(labels, y_pred.shape[-1], dtype=y_pred.dtype),
            y_pred,
            label_smoothing=self.label_smoothing,
        )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "label_smoothing": self.label_smoothing}


class Problem(abc.ABC):
    """What the outputs of a model mean.

    Attributes:
        name: Its name in settings and models.
        joined: What `join_windows` takes of the windows of a document.
        activation: Name of the last activation.
        experts: Class of the layer that joins n-grams and encoder.
        least_classes: Smallest number of outputs.
        most_classes: Largest number of outputs, or `None`.
        monitors: Dictionary from `monitor` of the settings to what Keras measures.
        formats: Dictionary from each measure to how it is printed.
    """

    name: str
    joined: str
    activation: str
    experts: type[ProductOfExperts] = ProductOfExperts
    least_classes = 1
    most_classes: int | None = None
    ngram_scale = 20.0  # the norm of the features of a window
    # Whether n-grams may be weighted by what they tell of classes.
    has_supervised_weights = False
    monitors: ClassVar[dict[str, str]]
    formats: ClassVar[dict[str, str]]

    def units(self) -> keras.layers.Layer | None:
        """A layer from outputs to the units of the targets, with `adapt`."""
        return None

    @abc.abstractmethod
    def compile_arguments(
        self, targets: np.ndarray, label_smoothing: float = 0.0
    ) -> dict[str, Any]:
        """Loss and metrics for `keras.Model.compile`.

        Args:
            targets: Those of the documents to train on.
            label_smoothing: Share of the probability of the right answer that the loss
                spreads over all classes; of each label of several, over yes and no.
        """

    @abc.abstractmethod
    def join_windows(
        self, outputs: np.ndarray, owners: np.ndarray, number: int
    ) -> np.ndarray:
        """Outputs of documents, from those of their windows.

        Args:
            outputs: Of each window, of shape (windows, F).
            owners: Index of each window's document, of shape (windows,).
            number: Number of documents.

        Returns:
            Array of shape (documents, F).
        """

    @abc.abstractmethod
    def measures(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """How good outputs are, by the names in `formats`, the first for people."""

    @abc.abstractmethod
    def losses(self, outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """How bad each output is: of shape (N,), 0 where nothing is wrong."""


class SingleLabel(Problem):
    """One class: probabilities that add up to 1; targets are integers (N,)."""

    name = "single_label"
    joined = "the mean of its windows' log probabilities"
    activation = "softmax"
    least_classes = 2
    has_supervised_weights = True
    monitors: ClassVar = {"accuracy": "accuracy", "loss": "loss"}
    formats: ClassVar = {"accuracy": ".1%"}

    def compile_arguments(
        self, targets: np.ndarray, label_smoothing: float = 0.0
    ) -> dict[str, Any]:
        loss: Any = "sparse_categorical_crossentropy"
        if label_smoothing:
            loss = SmoothedSparseCategoricalCrossentropy(label_smoothing)
        return {"loss": loss, "metrics": ["accuracy"]}

    def join_windows(
        self, outputs: np.ndarray, owners: np.ndarray, number: int
    ) -> np.ndarray:
        """By the mean of log probabilities."""
        logs = mean_log_probabilities(outputs, owners, number)
        joint = np.exp(logs - logs.max(-1, keepdims=True))
        return joint / joint.sum(-1, keepdims=True)

    def measures(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        return {"accuracy": float(np.mean(outputs.argmax(-1) == targets))}

    def losses(self, outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """The negative log probability of the true class, where another is likelier."""
        of_truth = np.take_along_axis(outputs, targets[:, None], -1)[:, 0]
        loss = -np.log(np.maximum(of_truth, SMALLEST_PROBABILITY))
        return np.where(outputs.argmax(-1) == targets, 0.0, loss)


class MultiLabel(Problem):
    """Any number of labels: a probability of each; targets are 0 or 1, (N, K)."""

    name = "multi_label"
    joined = "the mean of its windows' log-odds"
    activation = "sigmoid"
    experts = ProductOfLabelExperts
    ngram_scale = 40.0  # at 20 too few labels reach a half: see docs/decisions
    monitors: ClassVar = {"accuracy": "f1", "loss": "loss"}
    formats: ClassVar = {"micro_f1": ".1%", "macro_f1": ".1%", "exact_match": ".1%"}

    def compile_arguments(
        self, targets: np.ndarray, label_smoothing: float = 0.0
    ) -> dict[str, Any]:
        return {
            "loss": keras.losses.BinaryCrossentropy(label_smoothing=label_smoothing),
            # The sum over labels, and not the mean: each learns as if it were alone.
            "loss_weights": float(targets.shape[1]),
            "metrics": [
                keras.metrics.F1Score(average="micro", threshold=0.5, name="f1")
            ],
        }

    def join_windows(
        self, outputs: np.ndarray, owners: np.ndarray, number: int
    ) -> np.ndarray:
        """By the mean of log-odds."""
        least = SMALLEST_LABEL_PROBABILITY
        p = np.clip(np.asarray(outputs, "float64"), least, 1 - least)
        log_odds = mean_of_documents(np.log(p / (1 - p)), owners, number)
        return 1 / (1 + np.exp(-log_odds))

    def measures(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        true, predicted = np.asarray(targets) > 0, is_label(outputs)
        right = (true & predicted).sum(0)
        all_of_both = true.sum(0) + predicted.sum(0)
        # A label that no document has and none was given is left out.
        by_label = 2 * right[all_of_both > 0] / all_of_both[all_of_both > 0]
        return {
            "micro_f1": float(2 * right.sum() / max(all_of_both.sum(), 1)),
            "macro_f1": float(by_label.mean()) if len(by_label) else 0.0,
            "exact_match": float(np.mean((true == predicted).all(-1))),
        }

    def losses(self, outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """The binary cross-entropy of the labels that are wrong."""
        least = SMALLEST_LABEL_PROBABILITY
        true, p = np.asarray(targets) > 0, np.clip(outputs, least, 1 - least)
        loss = -np.log(np.where(true, p, 1 - p))
        return np.where(true == is_label(outputs), 0.0, loss).sum(-1)


class Regression(Problem):
    """A number, in the units of the targets, which are of shape (N, 1).

    The model computes standardized numbers; a layer with mean and standard deviation of
    the targets makes numbers in their units of them.
    """

    name = "regression"
    joined = "the mean of its windows"
    activation = "linear"
    experts = SumOfExperts
    most_classes = 1
    ngram_scale = 5.0  # a squared error has no bound: smaller steps
    monitors: ClassVar = {"accuracy": "loss", "loss": "loss"}
    formats: ClassVar = {"r2": ".3f", "rmse": ".4g", "mae": ".4g"}

    def units(self) -> keras.layers.Layer:
        return keras.layers.Normalization(
            axis=-1, invert=True, dtype="float32", name="units"
        )

    def compile_arguments(
        self, targets: np.ndarray, label_smoothing: float = 0.0
    ) -> dict[str, Any]:
        check_label_smoothing(self.name, label_smoothing)
        variance = float(np.var(np.asarray(targets, "float64")))
        if not variance:
            raise ValueError(
                "All documents have the same number as their target, so there is "
                "nothing to learn. Expected different ones: name another column of "
                "labels, with label_column (--label-column)."
            )
        # Of standardized targets, so that the steps do not depend on the unit.
        return {"loss": "mean_squared_error", "loss_weights": 1 / variance}

    def join_windows(
        self, outputs: np.ndarray, owners: np.ndarray, number: int
    ) -> np.ndarray:
        """By the mean."""
        return mean_of_documents(np.asarray(outputs, "float64"), owners, number)

    def measures(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        errors = np.asarray(outputs, "float64") - targets
        variance = float(np.var(np.asarray(targets, "float64")))
        mean_square = float(np.mean(np.square(errors)))
        return {
            "r2": 1 - mean_square / variance if variance else float("nan"),
            "rmse": float(np.sqrt(mean_square)),
            "mae": float(np.mean(np.abs(errors))),
        }

    def losses(self, outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """The absolute error."""
        return np.abs(np.asarray(outputs, "float64") - targets)[:, 0]


PROBLEMS: dict[str, Problem] = {
    problem.name: problem for problem in (SingleLabel(), MultiLabel(), Regression())
}


def get_problem(identifier: Any) -> Problem:
    """Returns a `Problem`.

    Args:
        identifier: Its name, or a model, of whose attribute `problem` it is the name; a
            model without one has a single label.

    Raises:
        ValueError: If there is no such problem.

    Example:

    >>> from keras_performer.models.problems import get_problem
    >>> get_problem("multi_label").activation
    'sigmoid'
    """
    if isinstance(identifier, keras.Model):
        identifier = getattr(identifier, "problem", "single_label")
    if identifier not in PROBLEMS:
        raise ValueError(
            f"`problem` must be one of {tuple(PROBLEMS)}. Received: "
            f"problem={identifier!r}"
        )
    return PROBLEMS[identifier]


def check_label_smoothing(problem: str, label_smoothing: float) -> None:
    """Refuses label smoothing where there are no labels, or out of its range.

    Args:
        problem: Name of the problem.
        label_smoothing: What is asked for; 0 for none.

    Raises:
        ValueError: If it is refused.
    """
    if not 0 <= label_smoothing < 1:
        raise ValueError(
            "`label_smoothing` must be in [0, 1). Received: label_smoothing="
            f"{label_smoothing!r}"
        )
    if label_smoothing and problem == Regression.name:
        raise ValueError(
            "`label_smoothing` spreads probability over labels, and a number has none: "
            "leave it out with problem='regression'. Received: label_smoothing="
            f"{label_smoothing!r}"
        )


def is_label(probabilities: np.ndarray) -> np.ndarray:
    """Which labels a document is given: those of a probability of a half at least."""
    return np.asarray(probabilities) >= 0.5


def mean_of_documents(
    values: np.ndarray, owners: np.ndarray, number: int
) -> np.ndarray:
    """Averages rows of windows by the document they belong to.

    Args:
        values: Array of shape (windows, F).
        owners: Index of each window's document, of shape (windows,).
        number: Number of documents.

    Returns:
        Array of shape (documents, F); 0 of a document without windows.
    """
    sums = np.zeros((number, values.shape[1]))
    np.add.at(sums, owners, values)
    counts = np.bincount(owners, minlength=number)
    return sums / np.maximum(counts, 1)[:, None]


def mean_log_probabilities(
    probabilities: np.ndarray, owners: np.ndarray, number: int
) -> np.ndarray:
    """Averages log probabilities of windows by the document they belong to.

    Args:
        probabilities: Array of shape (windows, classes).
        owners: Index of each window's document, of shape (windows,).
        number: Number of documents.

    Returns:
        Array of shape (documents, classes).

    Example:

    >>> import numpy as np
    >>> p = np.array([[0.5, 0.5], [0.9, 0.1], [0.2, 0.8]])
    >>> mean_log_probabilities(p, np.array([0, 0, 1]), 2).argmax(-1).tolist()
    [0, 1]
    """
    logs = np.log(np.maximum(probabilities, SMALLEST_PROBABILITY))
    return mean_of_documents(logs, owners, number)
