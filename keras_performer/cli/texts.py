"""Texts that a command is given: files, folders, and `-` for standard input."""

import codecs
import os
import pathlib
import sys
from collections.abc import Iterable, Iterator, Sequence

STANDARD_INPUT = "-"
# What is in memory at a time, and goes through a model together.
BLOCK_TEXTS = 256
BLOCK_BYTES = 2**22


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


class TextBlocks:
    """Reads texts in blocks of bounded size, and goes on after one that it cannot read.

    Args:
        paths: Paths of files, and `-`.

    Attributes:
        num_failures: Number of files that could not be read, each of which a line on
            standard error names.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        self.paths = paths
        self.num_failures = 0

    def __iter__(self) -> Iterator[tuple[list[str], list[str]]]:
        """Pairs of paths and texts, at most `BLOCK_TEXTS` and `BLOCK_BYTES` or one."""
        paths: list[str] = []
        texts: list[str] = []
        size = 0
        for path in self.paths:
            try:
                text = read_text(path)
            except (OSError, ValueError) as error:
                self.num_failures += 1
                print(error, file=sys.stderr, flush=True)
                continue
            num_bytes = len(text.encode())
            if texts and (size + num_bytes > BLOCK_BYTES or len(texts) == BLOCK_TEXTS):
                yield paths, texts
                paths, texts, size = [], [], 0
            paths.append(path)
            texts.append(text)
            size += num_bytes
        if texts:
            yield paths, texts
