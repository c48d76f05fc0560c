"""`atomic_write`: a file that is written as a whole or not at all."""

import contextlib
import math
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np

_OVERHEAD = 2048  # bytes that HDF5 writes beside a variable


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str], room: int = 0) -> Iterator[pathlib.Path]:
    """Gives a temporary path to write to, and renames it when all is on the disk.

    A kill or a full disk leaves what was at `path` before. The temporary name ends as
    `path` does, since Keras tells formats by the ending.

    Args:
        path: Where the file shall be.
        room: Number of bytes that are asked of the disk before anything is written.

    Returns:
        A context manager of the `pathlib.Path` to write to.

    Raises:
        OSError: If the file cannot be written, such as on a full disk.

    Example:

    >>> with atomic_write("greeting.txt") as temporary:
    ...     _ = temporary.write_text("hello")
    >>> pathlib.Path("greeting.txt").read_text()
    'hello'
    """
    path = pathlib.Path(path)
    temporary = path.with_name(f"incomplete.{path.name}")
    try:
        # Where the disk is full HDF5 ends the process, without an error to catch.
        if room and hasattr(os, "posix_fallocate"):
            with temporary.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, room)
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())  # before the name: a power cut may keep one alone
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OSError(
            error.errno,
            f"{path} could not be written: {error}. Nothing is lost: what was there "
            "before is whole. Make room on the disk, or permit writing, and run the "
            "same training again: it goes on after its last checkpoint, or from the "
            "start where there is none yet",
        ) from error


def atomic_write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes a text file as a whole or not at all.

    Args:
        path: Path of the file.
        text: What to write.

    Raises:
        OSError: If the file cannot be written.
    """
    with atomic_write(path) as temporary:
        temporary.write_text(text)


def room_for(model: Any) -> int:
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
