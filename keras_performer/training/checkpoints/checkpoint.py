"""`Checkpoint`: the state of a training after a step, in one file."""

import io
import os
import pathlib
import re
import struct
import zipfile
import zlib
from typing import Any

import keras
import numpy as np

from keras_performer.training.checkpoints.atomic_write import atomic_write

KEPT = 2
_METRIC = "metric_"  # the names of others are numbers alone
_DAMAGES = (
    OSError,
    ValueError,
    KeyError,
    EOFError,
    RuntimeError,  # of an encrypted archive, or an unknown compression
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


class Checkpoint:
    """Writes the state of a training after a step, and brings it back.

    The state is all that a step changes: weights, projections, the optimizer's
    variables, the random seeds of dropout, and the sums of the metrics, so that a mean
    over an epoch goes on within it. It is one file, an archive of arrays with
    checksums, named after the step and renamed to that name when it is complete: at
    every moment exactly the state after some step is on disk. The last two are kept.

    Args:
        path: Folder of the checkpoints.

    Example:

    >>> Checkpoint("no/such/folder").latest_step()
    0
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = pathlib.Path(path)

    def latest_step(self) -> int:
        """Returns the step of the last checkpoint: 0 where there is none."""
        return max(self._files(), default=0)

    def save(self, model: Any, step: int) -> None:
        """Writes the state of a model, its optimizer and its metrics.

        Args:
            model: The compiled model.
            step: Number of steps done, a positive integer.

        Raises:
            OSError: If the disk is full, say; the checkpoints before are whole.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        variables = {
            **_named("", _state(model)),
            **_named(_METRIC, model.metrics_variables),
        }
        with (
            atomic_write(self.path / f"after_{step}.npz") as temporary,
            zipfile.ZipFile(temporary, "w", allowZip64=True) as archive,
        ):
            for name, variable in variables.items():
                with archive.open(name, "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, _array(variable))
        for old_step in sorted(self._files())[:-KEPT]:
            self._files()[old_step].unlink()

    def restore(self, model: Any) -> int:
        """Loads the last state of a compiled model and its optimizer, if there is one.

        Args:
            model: The compiled model.

        Returns:
            Number of steps done, 0 where there is no checkpoint.

        Raises:
            ValueError: If the checkpoint is damaged, or of another model or optimizer;
                nothing of it is loaded then.
        """
        step = self.latest_step()
        if step:
            if not model.optimizer.built:
                model.optimizer.build(model.trainable_variables)
            variables = _state(model)
            arrays = self._checked(step, "", variables)
            for variable, array in zip(variables, arrays, strict=True):
                variable.assign(array)
        return step

    def add_metrics(self, model: Any) -> None:
        """Adds the saved sums of the metrics to those of the steps after them.

        `fit` resets the metrics when it begins an epoch, and some have no variables
        before the first step.

        Args:
            model: The model, with the metrics that it had when it was saved.

        Raises:
            ValueError: If the checkpoint is damaged, or of other metrics.
        """
        variables = model.metrics_variables
        arrays = self._checked(self.latest_step(), _METRIC, variables)
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign_add(array)

    def _checked(
        self, step: int, prefix: str, variables: list[Any]
    ) -> list[np.ndarray]:
        """The arrays of a checkpoint, which have the shapes of the variables."""
        arrays = self._read(step, prefix)
        if [array.shape for array in arrays] != [tuple(v.shape) for v in variables]:
            raise ValueError(
                f"The checkpoint {self._files()[step]} is of another model or "
                f"optimizer: {_difference(variables, arrays)}. Pass the model of its "
                "training, or choose another folder."
            )
        return arrays

    def _read(self, step: int, prefix: str) -> list[np.ndarray]:
        path = self._files()[step]
        try:
            with zipfile.ZipFile(path) as archive:
                names = [
                    name
                    for name in archive.namelist()
                    if name.startswith(_METRIC) == (prefix == _METRIC)
                ]
                # As a whole first, which compares the checksum.
                return [
                    np.lib.format.read_array(
                        io.BytesIO(archive.read(name)), allow_pickle=False
                    )
                    for name in names
                ]
        except _DAMAGES as error:
            before = max((other for other in self._files() if other < step), default=0)
            rest = f"goes on after {before}" if before else "begins anew"
            raise ValueError(
                f"The checkpoint {path} is damaged: {error}. Remove this file and run "
                f"the same training again: it {rest}."
            ) from error

    def _files(self) -> dict[int, pathlib.Path]:
        if not self.path.is_dir():
            return {}
        found = (
            re.fullmatch(r"after_([0-9]+)\.npz", path.name)
            for path in self.path.iterdir()
        )
        return {int(match[1]): self.path / match[0] for match in found if match}


def _state(model: Any) -> list[Any]:
    """All variables that a training step changes, in the order of their creation."""
    return [*model.variables, *model.optimizer.variables]


def _named(prefix: str, variables: list[Any]) -> dict[str, Any]:
    return {f"{prefix}{index}.npy": each for index, each in enumerate(variables)}


def _array(variable: Any) -> np.ndarray:
    # As a tensor first: under a strategy it is a variable of several devices.
    array = keras.ops.convert_to_numpy(keras.ops.convert_to_tensor(variable))
    # NumPy's files know no bfloat16; in float32 each value is still itself.
    return array.astype("float32") if array.dtype.kind == "V" else array


def _difference(variables: list[Any], arrays: list[np.ndarray]) -> str:
    if len(variables) != len(arrays):
        return f"it has {len(arrays)} variables and not {len(variables)}"
    return next(
        f"{variable.path} has the shape {array.shape} there and "
        f"{tuple(variable.shape)} here"
        for variable, array in zip(variables, arrays, strict=True)
        if tuple(variable.shape) != array.shape
    )
