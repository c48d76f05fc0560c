"""Texts that a command is given: files, folders, and `-` for standard input."""

import codecs
import os
import pathlib
import sys
from collections.abc import Iterable, Iterator

STANDARD_INPUT = "-"


def text_paths(names: Iterable[str]) -> list[str]:
    """Lists the files of names: a folder stands for all files in it, by their paths.

    Files and folders whose name starts with a dot are left out of folders.

    Args:
        names: Paths of files and folders, and `-`.

    Returns:
        List of paths, and `-` where it was.

    Raises:
        ValueError: If a folder has no files.
    """
    paths: list[str] = []
    for name in names:
        if name == STANDARD_INPUT or not pathlib.Path(name).is_dir():
            paths.append(name)
            continue
        found = sorted(_files_under(name))
        if not found:
            raise ValueError(f"The folder {name!r} has no files.")
        paths += found
    return paths


def _files_under(folder: str) -> Iterator[str]:
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if not name.startswith("."):
                yield str(pathlib.Path(parent, name))


def read_text(path: str | os.PathLike[str]) -> str:
    """Reads a UTF-8 file, or standard input where the path is `-`.

    Args:
        path: The file.

    Returns:
        Its text, without a byte order mark, as training reads it.

    Raises:
        ValueError: If it is not UTF-8.
    """
    if path == STANDARD_INPUT:
        data = sys.stdin.buffer.read()
    else:
        data = pathlib.Path(path).read_bytes()
    try:
        return data.removeprefix(codecs.BOM_UTF8).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"The file {path!r} is not UTF-8 text: byte {error.start} does not decode. "
            f"Convert it first, for instance: iconv -f latin1 -t utf8 {path}"
        ) from error
