"""`whole_file`: a file that is written as a whole or not at all."""

import contextlib
import math
import os
import pathlib

import numpy as np

_OVERHEAD = 2048  # bytes that HDF5 writes beside a variable


@contextlib.contextmanager
def whole_file(path, room=0):
    """Gives a path to write to, and renames it when all of it is on the disk.

    A kill or a full disk leaves what was at `path` before. The name to write to ends
    as `path` does, since Keras tells formats by the ending.

    Args:
        path: Where the file shall be.
        room: Number of bytes that are asked of the disk before anything is written.

    Returns:
        A context manager of the `pathlib.Path` to write to.

    Raises:
        OSError: If the file cannot be written, such as on a full disk.

    Example:

    >>> with whole_file("greeting.txt") as aside:
    ...     _ = aside.write_text("hello")
    >>> pathlib.Path("greeting.txt").read_text()
    'hello'
    """
    path = pathlib.Path(path)
    aside = path.with_name(f"incomplete.{path.name}")
    try:
        # Where the disk is full HDF5 ends the process, without an error to catch.
        if room and hasattr(os, "posix_fallocate"):
            with open(aside, "wb") as file:
                os.posix_fallocate(file.fileno(), 0, room)
        yield aside
        with open(aside, "rb+") as file:
            os.fsync(file.fileno())  # before the name: a power cut may keep one alone
        os.replace(aside, path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise OSError(
            error.errno,
            f"{path} could not be written: {error}. Nothing is lost: what was there "
            "before is whole. Make room on the disk, or permit writing, and run the "
            "same training again: it goes on after its last backup",
        ) from error


def room_for(model):
    """Returns how many bytes a file of a model and its optimizer may have, about.

    Args:
        model: A `keras.Model`; a compiled one is saved with its optimizer.
    """
    variables = list(model.variables)
    if model.compiled:
        variables += model.optimizer.variables
    sizes = (
        math.prod(variable.shape) * np.dtype(variable.dtype).itemsize + _OVERHEAD
        for variable in variables
    )
    return _OVERHEAD + sum(sizes)


def write_text(path, text):
    """Writes a text file as a whole or not at all.

    Args:
        path: Path of the file.
        text: What to write.

    Raises:
        OSError: If the file cannot be written.
    """
    with whole_file(path) as aside:
        aside.write_text(text)
