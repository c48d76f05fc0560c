"""`Table`: a file with a row a document, each text found again by its bytes."""

import abc
import bz2
import codecs
import gzip
import lzma
import os
import re
import shutil
import tempfile
import weakref
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any, NamedTuple

from keras_performer.text.readers.encodings import (
    file_kind,
    undecodable_error,
    wide_encoding,
    wide_error,
)

COMPRESSIONS: dict[str, Any] = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}
_HEAD_BYTES = 2**16
_COPY_BYTES = 2**20
# Of a line: a text of max_bytes whose characters are all escaped, as \u0041 is, and a
# mebibyte for the other columns.
_ESCAPED, _OTHER_COLUMNS = 6, 2**20
_SHOWN_NAMES = 20
_SURROGATE = re.compile("[\ud800-\udfff]")


class Row(NamedTuple):
    """One row of a table, while it is read through.

    Attributes:
        line: Line at which it begins, or its number, from 1.
        start: Place of its first byte, in what `Table.read` reads.
        stop: Place behind its last byte.
        values: Dictionary of what its columns hold.
    """

    line: int
    start: int
    stop: int
    values: Mapping[str, Any]


class Table(abc.ABC):
    """An open file of rows.

    A compressed file is decompressed once, to a temporary file without a name, since a
    row in the midst of it could not be read again otherwise. (`TMPDIR` in the
    environment says where that is.)

    Args:
        path: Path of the file.
        columns: Names of the columns that are wanted, that of the text first.
        max_bytes: Largest size of a text.

    Raises:
        ValueError: If the file cannot be read or decompressed.
    """

    unit = "line"

    def __init__(self, path: str, columns: Sequence[str], max_bytes: int) -> None:
        self.path = path
        self.columns = tuple(columns)
        self.max_bytes = max_bytes
        self._file = _open_plain(path)
        self._texts = self._file  # what `read` reads
        weakref.finalize(self, self._file.close)

    @abc.abstractmethod
    def rows(self) -> Iterator[Row]:
        """Reads the table through, a row in memory at a time."""

    @abc.abstractmethod
    def text_of(self, data: bytes) -> str:
        """The text of a row, of the bytes from its `start` to its `stop`."""

    def read(self, start: int, stop: int) -> bytes:
        """Reads the bytes of a row, from any thread."""
        return os.pread(self._texts.fileno(), stop - start, start)

    def where(self, line: int) -> str:
        """How errors name a row."""
        return f"{self.path}, {self.unit} {line}"

    def lines(self) -> Iterator[tuple[int, int, int, str]]:
        """Yields of each line its number from 1, its start, its stop and its text."""
        self._file.seek(0)
        head = self._file.read(_HEAD_BYTES)
        kind, wide = file_kind(head), wide_encoding(head)
        if kind:
            raise ValueError(
                f"{self.path} looks like {kind}. Expected plain text, or the ending "
                f"of its kind: {', '.join(COMPRESSIONS)} where it is compressed."
            )
        if wide:
            raise wide_error(self.path, wide)
        start = len(codecs.BOM_UTF8) if head.startswith(codecs.BOM_UTF8) else 0
        self._file.seek(start)
        longest = _ESCAPED * self.max_bytes + _OTHER_COLUMNS
        number = 0
        while data := self._file.readline(longest + 1):
            number += 1
            if len(data) > longest:
                raise ValueError(
                    f"{self.where(number)} has more than {longest} bytes, where a text "
                    f"may have max_bytes={self.max_bytes}. Expected a row a line."
                )
            try:
                text = data.decode("utf-8")
            except UnicodeDecodeError as error:
                raise undecodable_error(
                    self.where(number), error, error.start
                ) from error
            yield number, start, start + len(data), text
            start += len(data)


def missing_column(where: str, column: str, names: Sequence[str]) -> ValueError:
    """The error about a column that is not there, with the names of those that are."""
    shown = ", ".join(map(repr, names[:_SHOWN_NAMES])) or "none"
    more = ", ..." if len(names) > _SHOWN_NAMES else ""
    return ValueError(
        f"{where} has no column {column!r}. It has {shown}{more}. Name the columns of "
        "texts and labels with text_column and label_column (--text-column and "
        "--label-column)."
    )


def whole_text(text: str) -> bytes:
    """A text in UTF-8; halves of characters, as JSON may have, become U+FFFD."""
    return _SURROGATE.sub("\ufffd", text).encode("utf-8")


def _open_plain(path: str) -> IO[bytes]:
    """Opens a file, decompressed where its ending says that it is compressed."""
    open_compressed = COMPRESSIONS.get(os.path.splitext(path)[1].lower())
    try:
        if open_compressed is None:
            return open(path, "rb")
        file = tempfile.TemporaryFile()  # noqa: SIM115
        try:
            with open_compressed(path, "rb") as source:
                shutil.copyfileobj(source, file, _COPY_BYTES)
        except BaseException:
            file.close()
            raise
        return file
    except (EOFError, zlib.error, lzma.LZMAError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise ValueError(
                f"{path} cannot be read: {error.strerror}. Make it readable; a "
                "compressed file is decompressed to the folder for temporary files, "
                f"{tempfile.gettempdir()}, which needs room (TMPDIR names another)."
            ) from error
        raise ValueError(
            f"{path} is not compressed as its ending says, or is damaged: {error}. Get "
            "it anew, or give it the right ending."
        ) from error
