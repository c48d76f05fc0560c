"""`TextFiles`: documents that are files, in one folder a class."""

import codecs
import dataclasses
import os
import pathlib
import stat
from collections.abc import Iterator
from typing import NoReturn

import numpy as np

from keras_performer.text.readers.encodings import (
    file_kind,
    undecodable_error,
    wide_encoding,
    wide_error,
)
from keras_performer.text.readers.text_reader import FoundTexts, TextReader

_CHUNK_BYTES = 2**20


@dataclasses.dataclass(frozen=True)
class TextFiles(TextReader):
    """Documents that are files.

    Attributes:
        paths: Path of each file.
    """

    paths: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def name(self, index: int) -> str:
        return self.paths[index]

    def size(self, index: int) -> int:
        return os.stat(self.paths[index]).st_size

    def read(self, index: int) -> bytes:
        with open(self.paths[index], "rb") as file:
            return file.read().removeprefix(codecs.BOM_UTF8)

    def keys(self) -> Iterator[bytes]:
        """The paths inside their common folder."""
        root = os.path.commonpath(self.paths) if self.paths else ""
        for path in self.paths:
            yield os.fsencode(pathlib.Path(os.path.relpath(path, root)).as_posix())

    def select(self, indices: np.ndarray) -> "TextFiles":
        return TextFiles(tuple(self.paths[index] for index in indices))


def find_files(directory: str, max_bytes: int, has_classes: bool = True) -> FoundTexts:
    """Finds the documents of a folder that has one subfolder a class, and reads each.

    Args:
        directory: Folder of the class folders.
        max_bytes: Largest size of a file.
        has_classes: Whether its folders are classes. Else all files below it, in
            whichever folders, are documents without a label.

    Returns:
        `FoundTexts`, sorted by class and path.

    Raises:
        ValueError: If the folder is missing or has no class folders, if a class has no
            documents, or if a file cannot be read, is not UTF-8 or is larger than
            `max_bytes`.
    """
    paths: list[str] = []
    labels: list[str | None] = []
    empty: list[str] = []
    for label in _class_folders(directory) if has_classes else [None]:
        folder = directory if label is None else os.path.join(directory, label)
        found = _files_under(folder)
        kept = [path for path in found if _has_text(path, max_bytes)]
        if not kept:
            raise ValueError(
                f"The {'class ' if has_classes else ''}folder {folder} has no "
                f"documents: {len(found)} files, none with text. Add documents or "
                "remove the folder."
            )
        paths += kept
        labels += [label] * len(kept)
        empty += sorted(set(found) - set(kept))
    return FoundTexts(
        reader=TextFiles(tuple(paths)),
        labels=labels,
        splits=[],
        num_empty=len(empty),
        empty=empty[:3],
        where=directory,
        unit="files",
    )


def _class_folders(directory: str) -> list[str]:
    try:
        with os.scandir(directory) as entries:
            names = sorted(
                entry.name
                for entry in entries
                if entry.is_dir() and not entry.name.startswith(".")
            )
    except OSError as error:
        raise ValueError(
            f"The folder {directory} cannot be read: {error.strerror}. Expected a "
            "folder with one subfolder a class, <directory>/<class>/<file>, or a table."
        ) from error
    if not names:
        raise ValueError(
            f"The folder {directory} has no class folders. Expected one subfolder a "
            "class, <directory>/<class>/<file>, or tables."
        )
    for name in names:
        try:
            name.encode("utf-8")
        except UnicodeEncodeError as error:
            raise ValueError(
                f"The class folder {name!r} in {directory} has a name that is not "
                "UTF-8, so it cannot be a label. Rename it."
            ) from error
    return names


def _files_under(folder: str) -> list[str]:
    def fail(error: OSError) -> NoReturn:
        raise ValueError(
            f"The folder {error.filename} cannot be read: {error.strerror}. Make it "
            "readable or remove it."
        ) from error

    files: list[str] = []
    for parent, folders, names in os.walk(folder, onerror=fail):
        folders[:] = [name for name in folders if not name.startswith(".")]
        files += [os.path.join(parent, n) for n in names if not n.startswith(".")]
    return sorted(files)


def _has_text(path: str, max_bytes: int) -> bool:
    """Reads a file once; whether it has more than whitespace in it."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    offset = 0
    has_text = False
    kind = None
    try:
        status = os.stat(path)
        # A pipe would block the reader for ever, a device might never end.
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(
                f"{path} is no regular file. Remove it, or put a file in its place."
            )
        if status.st_size > max_bytes:
            raise ValueError(
                f"{path} has {status.st_size} bytes, more than max_bytes={max_bytes}. "
                "A document is held in memory as a whole: split it, or raise max_bytes."
            )
        with open(path, "rb") as file:
            at_end = False
            while not at_end:
                chunk = file.read(_CHUNK_BYTES)
                at_end = not chunk
                if offset == 0:
                    kind, wide = file_kind(chunk), wide_encoding(chunk)
                    if wide and not kind:
                        raise wide_error(path, wide)
                # An incomplete character stays in the decoder for the next chunk.
                pending = len(decoder.getstate()[0])
                # A byte order mark is no text.
                text = decoder.decode(chunk, final=at_end).removeprefix("\ufeff")
                has_text |= bool(text) and not text.isspace()
                offset += len(chunk)
    except OSError as error:
        raise ValueError(
            f"{path} cannot be read: {error.strerror}. Make it readable or remove it."
        ) from error
    except UnicodeDecodeError as error:
        place = offset - pending + error.start
        raise undecodable_error(path, error, place, kind) from error
    return has_text
