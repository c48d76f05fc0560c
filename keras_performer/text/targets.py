"""What documents are labelled with: one class each, several, a number, or nothing."""

import abc
import contextlib
import decimal
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np


class Targets(abc.ABC):
    """What the column of labels holds, and what becomes of it.

    Attributes:
        least_labels: Fewest names of classes that a training needs.
    """

    least_labels: int

    @abc.abstractmethod
    def read(self, value: Any, where: str, column: str) -> Any:
        """What a cell of the column says.

        Args:
            value: The cell, of any type.
            where: How errors name its row.
            column: Name of the column.

        Raises:
            ValueError: If it is not what is expected.
        """

    @abc.abstractmethod
    def names(self, values: Iterable[Any]) -> list[str]:
        """The names of the classes in what `read` gave, sorted."""

    @abc.abstractmethod
    def encode(self, values: Iterable[Any], ids: Mapping[str, int]) -> list[Any]:
        """What `Documents.label_ids` is, of what `read` gave."""

    @abc.abstractmethod
    def array(self, label_ids: Sequence[Any], num_labels: int) -> np.ndarray:
        """What a model learns, a row a document."""

    def strata(self, label_ids: Sequence[Any]) -> np.ndarray:
        """Groups of documents of which the same share is held out, integers (N,)."""
        return np.zeros(len(label_ids), int)

    def stratum_name(self, stratum: int, labels: Sequence[str]) -> str:
        """How errors call such a group."""
        return "The table"


class SingleLabel(Targets):
    """One class a document: its index, int32 of shape (N,)."""

    least_labels = 2

    def read(self, value: Any, where: str, column: str) -> str:
        name = _name(value, where, column)
        if not name:
            raise ValueError(
                f"{where} has no label in {column!r}. Add one or remove the row."
            )
        return name

    def names(self, values: Iterable[str]) -> list[str]:
        return sorted(set(values))

    def encode(self, values: Iterable[str], ids: Mapping[str, int]) -> list[int]:
        return [ids[value] for value in values]

    def array(self, label_ids: Sequence[int], num_labels: int) -> np.ndarray:
        return np.asarray(label_ids, np.int32)

    def strata(self, label_ids: Sequence[int]) -> np.ndarray:
        return np.asarray(label_ids, int)

    def stratum_name(self, stratum: int, labels: Sequence[str]) -> str:
        return f"The class {labels[stratum]!r}"


class MultiLabel(Targets):
    """Any number of classes a document, none included: 0 or 1, uint8 of shape (N, K).

    Args:
        separator: What stands between the labels of a string; `None` where a cell has a
            list.
    """

    least_labels = 1

    def __init__(self, separator: str | None = None) -> None:
        self.separator = separator

    def read(self, value: Any, where: str, column: str) -> tuple[str, ...]:
        if value is None or (isinstance(value, str) and not value.strip()):
            return ()
        if isinstance(value, str):
            if self.separator is None:
                raise ValueError(
                    f"{where}: {column!r} is the string {value[:40]!r}. Expected a "
                    "list of labels; of a string say what stands between them: "
                    "label_separator='|' (--label-separator '|')."
                )
            value = value.split(self.separator)
        if not isinstance(value, list):
            raise ValueError(
                f"{_found(value, where, column)}. Expected a list of labels, or a "
                "string of them with a separator."
            )
        names = {_name(each, where, column) for each in value}
        return tuple(sorted(names - {""}))

    def names(self, values: Iterable[tuple[str, ...]]) -> list[str]:
        return sorted({name for names in values for name in names})

    def encode(
        self, values: Iterable[tuple[str, ...]], ids: Mapping[str, int]
    ) -> list[tuple[int, ...]]:
        return [tuple(sorted(ids[name] for name in names)) for names in values]

    def array(
        self, label_ids: Sequence[tuple[int, ...]], num_labels: int
    ) -> np.ndarray:
        targets: np.ndarray = np.zeros((len(label_ids), num_labels), np.uint8)
        for row, ids in zip(targets, label_ids, strict=True):
            row[list(ids)] = 1
        return targets


class Regression(Targets):
    """A number a document: float32 of shape (N, 1)."""

    least_labels = 0

    def read(self, value: Any, where: str, column: str) -> float:
        number = math.nan
        if isinstance(value, (int, float, decimal.Decimal, str)) and not isinstance(
            value, bool
        ):
            with contextlib.suppress(ValueError, OverflowError):
                number = float(value)
        if not math.isfinite(number):
            raise ValueError(
                f"{_found(value, where, column)}. Expected a finite number, such as "
                "3.5. Mend or remove the row."
            )
        return number

    def names(self, values: Iterable[float]) -> list[str]:
        return []

    def encode(self, values: Iterable[float], ids: Mapping[str, int]) -> list[float]:
        return list(values)

    def array(self, label_ids: Sequence[float], num_labels: int) -> np.ndarray:
        return np.asarray(label_ids, np.float32)[:, None]


class Unlabelled(Targets):
    """Nothing, of texts to read alone: zeros, int32 of shape (N,)."""

    least_labels = 0

    def read(self, value: Any, where: str, column: str) -> None:
        return None

    def names(self, values: Iterable[None]) -> list[str]:
        return []

    def encode(self, values: Iterable[None], ids: Mapping[str, int]) -> list[None]:
        return list(values)

    def array(self, label_ids: Sequence[None], num_labels: int) -> np.ndarray:
        return np.zeros(len(label_ids), np.int32)


def get_targets(problem: str, separator: str | None = None) -> Targets:
    """Returns the `Targets` of a problem.

    Args:
        problem: `"single_label"`, `"multi_label"`, `"regression"` or `"unlabelled"`.
        separator: What stands between several labels in a string, or `None`.

    Raises:
        ValueError: If there is no such problem, or a separator without several labels.

    Example:

    >>> from keras_performer.text.targets import get_targets
    >>> get_targets("multi_label", "|").read("sea|storm", "books.csv, line 2", "label")
    ('sea', 'storm')
    """
    known: dict[str, Targets] = {
        "single_label": SingleLabel(),
        "multi_label": MultiLabel(separator),
        "regression": Regression(),
        "unlabelled": Unlabelled(),
    }
    if problem not in known:
        raise ValueError(
            f"`problem` must be one of {tuple(known)}. Received: problem={problem!r}"
        )
    if separator is not None and (problem != "multi_label" or not separator):
        raise ValueError(
            "`label_separator` must stand between several labels: pass it with "
            "problem='multi_label' alone, at least one character. Received: "
            f"label_separator={separator!r}, problem={problem!r}"
        )
    return known[problem]


def _name(value: Any, where: str, column: str) -> str:
    """The name of a class: what is not a string becomes one; `""` where none is."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return value.strip()
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, (int, float)):
        return str(value)
    raise ValueError(
        f"{_found(value, where, column)}. Expected the name of one class: a string, an "
        "integer or a boolean. Lists of them need problem='multi_label' (--problem "
        "multi_label)."
    )


def _found(value: Any, where: str, column: str) -> str:
    """What is in a cell, with its type."""
    kind = type(value).__name__
    return f"{where}: {column!r} is {str(value)[:40]!r}, of type {kind}"
