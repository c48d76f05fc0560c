"""What a model answers about a document, and how it is written: labels, or a number."""

import abc
from collections.abc import Sequence
from typing import Any


class Answer(abc.ABC):
    """The answer about one document.

    Attributes:
        names: Names of the outputs of an exported model that answers so.
    """

    names: frozenset[str]

    @classmethod
    @abc.abstractmethod
    def of_outputs(cls, labels: Sequence[str], outputs: Sequence[float]) -> "Answer":
        """The answer that a model's outputs are.

        Args:
            labels: Names of the classes; for a number none.
            outputs: Probabilities of the classes, or the number alone.
        """

    @classmethod
    @abc.abstractmethod
    def of_row(cls, row: Any) -> "Answer":
        """The answer that a server's row is."""

    @abc.abstractmethod
    def columns(self) -> list[str]:
        """What `predict` prints behind the path."""

    @abc.abstractmethod
    def fields(self, labels: Sequence[str]) -> dict[str, Any]:
        """What `predict --json` writes beside the path."""


class LabelAnswer(Answer):
    """One label, with the probabilities of all."""

    names = frozenset(["label", "probabilities"])

    def __init__(self, label: str, probabilities: Sequence[float]) -> None:
        self.label = label
        self.probabilities = probabilities

    @classmethod
    def of_outputs(
        cls, labels: Sequence[str], outputs: Sequence[float]
    ) -> "LabelAnswer":
        likeliest = max(range(len(outputs)), key=outputs.__getitem__)
        return cls(labels[likeliest], outputs)

    @classmethod
    def of_row(cls, row: Any) -> "LabelAnswer":
        return cls(row["label"], row["probabilities"])

    def columns(self) -> list[str]:
        return [self.label, f"{max(self.probabilities):.4f}"]

    def fields(self, labels: Sequence[str]) -> dict[str, Any]:
        probabilities = dict(zip(labels, self.probabilities, strict=True))
        return {"label": self.label, "probabilities": probabilities}


class LabelsAnswer(Answer):
    """The labels of a probability of a half at least, with the probabilities of all."""

    names = frozenset(["classes", "probabilities"])

    def __init__(self, probabilities: dict[str, float]) -> None:
        self.probabilities = probabilities
        self.labels = [name for name, p in probabilities.items() if p >= 0.5]

    @classmethod
    def of_outputs(
        cls, labels: Sequence[str], outputs: Sequence[float]
    ) -> "LabelsAnswer":
        return cls(dict(zip(labels, outputs, strict=True)))

    @classmethod
    def of_row(cls, row: Any) -> "LabelsAnswer":
        return cls.of_outputs(row["classes"], row["probabilities"])

    def columns(self) -> list[str]:
        probabilities = (f"{self.probabilities[name]:.4f}" for name in self.labels)
        return ["|".join(self.labels), "|".join(probabilities)]

    def fields(self, labels: Sequence[str]) -> dict[str, Any]:
        return {"labels": self.labels, "probabilities": self.probabilities}


class NumberAnswer(Answer):
    """A number."""

    names = frozenset(["value"])

    def __init__(self, value: float) -> None:
        self.value = value

    @classmethod
    def of_outputs(
        cls, labels: Sequence[str], outputs: Sequence[float]
    ) -> "NumberAnswer":
        [value] = outputs
        return cls(value)

    @classmethod
    def of_row(cls, row: Any) -> "NumberAnswer":
        return cls(row)

    def columns(self) -> list[str]:
        return [f"{self.value:.6g}"]

    def fields(self, labels: Sequence[str]) -> dict[str, Any]:
        return {"value": self.value}


ANSWERS: dict[str, type[Answer]] = {
    "single_label": LabelAnswer,
    "multi_label": LabelsAnswer,
    "regression": NumberAnswer,
}


def problem_of_outputs(names: Sequence[str]) -> str | None:
    """Returns the problem of an exported model, or `None` of another kind of model.

    Args:
        names: Names of the outputs of its `serving_default`.

    Example:

    >>> from keras_performer.cli.answers import problem_of_outputs
    >>> problem_of_outputs(["probabilities", "classes"])
    'multi_label'
    """
    found = (p for p, answer in ANSWERS.items() if answer.names == frozenset(names))
    return next(found, None)


def answer_of_row(row: Any) -> Answer | None:
    """Returns the answer that a server's row is, or `None` of another kind of model.

    Args:
        row: One of the predictions, as JSON. One output alone has no name there.
    """
    if isinstance(row, bool) or not isinstance(row, (int, float, dict)):
        return None
    problem = problem_of_outputs(list(row) if isinstance(row, dict) else ["value"])
    return ANSWERS[problem].of_row(row) if problem else None
