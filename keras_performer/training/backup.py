"""`Backup`: where a killed training goes on."""

import io
import os
import pathlib
import re
import struct
import zipfile
import zlib

import keras
import numpy as np

from keras_performer.training.whole_file import whole_file

KEPT = 2
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


class Backup(keras.callbacks.Callback):
    """Writes the state of a training, and brings it back.

    The state is all that a step changes: weights, projections, the optimizer's
    variables and the random seeds of dropout, which Keras saves with neither. It is
    one file, named after how far the training has come and written aside, so that at
    every moment exactly such states are on disk. (`keras.callbacks.BackupAndRestore`
    keeps the epoch in a second file: a kill between the two repeats an epoch on
    weights that have it already.) The file is an archive of arrays with checksums; the
    last two are kept.

    As a callback it writes after each epoch and counts epochs. Who counts otherwise,
    such as `train_steps`, calls `save`.

    Args:
        path: Folder of the backup.

    Example:

    >>> Backup("no/such/folder").done()
    0
    """

    def __init__(self, path):
        super().__init__()
        self.path = pathlib.Path(path)

    def done(self):
        """Returns how far the last backup is: 0 where there is none."""
        return max(self._files(), default=0)

    def save(self, model, done):
        """Writes the state of a model and its optimizer.

        Args:
            model: The compiled model.
            done: How far the training has come, a positive integer.

        Raises:
            OSError: If the disk is full, say; the backups before are whole.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with (
            whole_file(self.path / f"after_{done}.npz") as aside,
            zipfile.ZipFile(aside, "w", allowZip64=True) as archive,
        ):
            for index, variable in enumerate(_state(model)):
                with archive.open(_member(index), "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, _array(variable))
        for number in sorted(self._files())[:-KEPT]:
            self._files()[number].unlink()

    def restore(self, model):
        """Loads the last state into a compiled model, if there is one.

        Args:
            model: The compiled model.

        Returns:
            How far the training has come, 0 where there is no backup.

        Raises:
            ValueError: If the backup is damaged, or of another model or optimizer;
                nothing of it is loaded then.
        """
        files = self._files()
        if not files:
            return 0
        done = max(files)
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        variables = _state(model)
        arrays = self._read(done)
        shapes = [tuple(variable.shape) for variable in variables]
        if [array.shape for array in arrays] != shapes:
            raise ValueError(
                f"The backup {files[done]} is of another model or optimizer: "
                f"{_difference(variables, arrays)}. Pass the model of its training, or "
                "choose another folder."
            )
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(array)
        return done

    def on_epoch_end(self, epoch, logs=None):
        self.save(self.model, epoch + 1)

    def _read(self, done):
        path = self._files()[done]
        try:
            with zipfile.ZipFile(path) as archive:
                # As a whole first, which compares the checksum.
                return [
                    np.lib.format.read_array(
                        io.BytesIO(archive.read(_member(index))), allow_pickle=False
                    )
                    for index in range(len(archive.namelist()))
                ]
        except _DAMAGES as error:
            before = max((n for n in self._files() if n < done), default=0)
            rest = f"goes on after {before}" if before else "begins anew"
            raise ValueError(
                f"The backup {path} is damaged: {error}. Remove this file and run the "
                f"same training again: it {rest}."
            ) from error

    def _files(self):
        if not self.path.is_dir():
            return {}
        found = (
            re.fullmatch(r"after_([0-9]+)\.npz", name) for name in os.listdir(self.path)
        )
        return {int(match[1]): self.path / match[0] for match in found if match}


def _state(model):
    """All variables that a training step changes, in the order of their creation."""
    return [*model.variables, *model.optimizer.variables]


def _member(index):
    return f"{index}.npy"


def _array(variable):
    # As a tensor first: under a strategy it is a variable of several devices.
    array = keras.ops.convert_to_numpy(keras.ops.convert_to_tensor(variable))
    # NumPy's files know no bfloat16; in float32 each value is still itself.
    return array.astype("float32") if array.dtype.kind == "V" else array


def _difference(variables, arrays):
    if len(variables) != len(arrays):
        return f"it has {len(arrays)} variables and not {len(variables)}"
    return next(
        f"{variable.path} has the shape {array.shape} there and "
        f"{tuple(variable.shape)} here"
        for variable, array in zip(variables, arrays, strict=True)
        if tuple(variable.shape) != array.shape
    )
