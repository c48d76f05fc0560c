"""`HistoryFile`: losses and metrics of a training as CSV, a row for each stretch."""

import csv
import io
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from keras_performer.training.checkpoints.atomic_write import atomic_write_text

_COUNTS = ("step", "epoch")  # integers


class HistoryFile:
    """A CSV file of what was measured after how many steps, without repetitions.

    Unlike `keras.callbacks.CSVLogger` it holds each step once, also where a training
    was killed and did some steps again, and a metric that comes later or seldom, as
    those of a validation do, has a column of its own. The file is written as a whole.

    Args:
        path: Path of the file.

    Example:

    >>> history = HistoryFile("history.csv")
    >>> history.append(10, {"loss": 2.5})
    >>> history.append(20, {"loss": 2.0, "val_loss": 2.25})
    >>> history.rows()
    [{'step': 10, 'loss': 2.5}, {'step': 20, 'loss': 2.0, 'val_loss': 2.25}]
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = pathlib.Path(path)

    def rows(self) -> list[dict[str, Any]]:
        """Returns a dictionary for each row, in order of steps.

        Raises:
            ValueError: If the file is not a history of steps.
        """
        if not self.path.exists():
            return []
        try:
            with self.path.open(newline="") as file:
                return [
                    {"step": int(row.pop("step"))}
                    | {name: _number(name, x) for name, x in row.items() if x}
                    for row in csv.DictReader(file)
                ]
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{self.path} is damaged, or not a history of steps: {error!r}. Remove "
                "it, or choose another folder."
            ) from error

    def append(self, step: int, measured: Mapping[str, Any]) -> None:
        """Writes a row, in the place of any rows from this step on.

        Args:
            step: Number of steps done.
            measured: Dictionary of numbers by name.

        Raises:
            OSError: If the file cannot be written; its rows are there as before.
        """
        row = {name: _number(name, value) for name, value in measured.items()}
        self._write([*self._until(step - 1), {"step": step} | row])

    def truncate(self, step: int) -> None:
        """Removes the rows after a step: those of steps that will be done again.

        Args:
            step: The last step whose row stays.
        """
        if self._until(step) != self.rows():
            self._write(self._until(step))

    def _until(self, step: int) -> list[dict[str, Any]]:
        return [row for row in self.rows() if row["step"] <= step]

    def _write(self, rows: list[dict[str, Any]]) -> None:
        names = sorted({name for row in rows for name in row if name != "step"})
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, ["step", *names], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        atomic_write_text(self.path, text.getvalue())


def _number(name: str, value: Any) -> int | float:
    return int(value) if name in _COUNTS else float(value)
