"""`TableTexts`: documents that are rows of a table, found and checked row by row."""

import array
import hashlib
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from keras_performer.text.readers.delimited_text import DelimitedText
from keras_performer.text.readers.json_lines import JsonLines
from keras_performer.text.readers.parquet_table import ParquetTable
from keras_performer.text.readers.table import (
    COMPRESSIONS,
    Row,
    Table,
    missing_column,
    whole_text,
)
from keras_performer.text.readers.text_reader import FoundTexts, TextReader
from keras_performer.text.targets import Targets

SPLIT_COLUMN = "split"
FORMATS: dict[str, type[Table]] = {
    ".jsonl": JsonLines,
    ".ndjson": JsonLines,
    ".json": JsonLines,
    ".csv": DelimitedText,
    ".tsv": DelimitedText,
    ".parquet": ParquetTable,
}
# What is held of a document, each an int64.
_TABLE, _LINE, _START, _STOP, _SIZE, _KEY = range(6)
_SHOWN = 3


class TableTexts(TextReader):
    """Documents that are rows of a table.

    Args:
        tables: The `Table`s.
        rows: Of each document the number of its table, the line, start, stop, size and
            key, int64 of shape (documents, 6). A key is a hash of the text.
    """

    def __init__(self, tables: Sequence[Table], rows: np.ndarray) -> None:
        self._tables = tuple(tables)
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def name(self, index: int) -> str:
        table = self._tables[self._rows[index, _TABLE]]
        return f"{table.path}:{self._rows[index, _LINE]}"

    def size(self, index: int) -> int:
        return int(self._rows[index, _SIZE])

    def read(self, index: int) -> bytes:
        number, line, start, stop, size, _ = self._rows[index].tolist()
        table = self._tables[number]
        try:
            text = whole_text(table.text_of(table.read(start, stop)))
        except (ValueError, LookupError, TypeError) as error:
            raise _changed_error(table, line) from error
        if len(text) != size:
            raise _changed_error(table, line)
        return text

    def keys(self) -> Iterator[bytes]:
        for row in self._rows:
            yield row[_KEY].tobytes()

    def select(self, indices: np.ndarray) -> "TableTexts":
        return TableTexts(self._tables, self._rows[indices])


def _changed_error(table: Table, line: int) -> ValueError:
    return ValueError(
        f"{table.where(line)} has changed since it was found. Find the documents "
        "again, and leave the file alone while they are in use."
    )


def table_stem(name: str) -> str | None:
    """The name of a table without its endings, or `None` of another file.

    Example:

    >>> from keras_performer.text.readers.table_texts import table_stem
    >>> table_stem("train.jsonl.gz"), table_stem("notes.txt")
    ('train', None)
    """
    stem, ending = os.path.splitext(name)
    if ending.lower() in COMPRESSIONS:
        stem, ending = os.path.splitext(stem)
    return stem if ending.lower() in FORMATS else None


def find_rows(
    paths: Sequence[str],
    text_column: str,
    label_column: str,
    max_bytes: int,
    targets: Targets,
) -> FoundTexts:
    """Finds the documents of tables, a row each, and checks them.

    Args:
        paths: Files with one of the endings in `FORMATS`, and of `COMPRESSIONS` behind
            it where it is compressed.
        text_column: Name of the column of the texts.
        label_column: Name of the column of the labels.
        max_bytes: Largest size of a text.
        targets: `Targets` that says what the column of labels holds.

    Returns:
        `FoundTexts`, in the order of the tables.

    Raises:
        ImportError: If pyarrow is needed and not installed.
        ValueError: If a file is none of these or cannot be read, if a column is
            missing, or if a row is malformed, has no label, has something else than a
            text or one that is larger than `max_bytes`.
    """
    columns = (text_column, label_column, SPLIT_COLUMN)
    tables = [_open_table(path, columns, max_bytes) for path in paths]
    where = paths[0] if len(paths) == 1 else os.path.dirname(paths[0])
    rows = array.array("q")
    labels: list[Any] = []
    splits: list[str] = []
    names: dict[Any, Any] = {}  # each label and split once, however many rows have it
    empty: list[str] = []
    num_empty = 0
    for number, table, row in _rows_of(tables):
        text = _text(table, row.line, row.values, text_column)
        if not text or text.isspace():
            num_empty += 1
            if len(empty) < _SHOWN:
                empty.append(f"{table.path}:{row.line}")
            continue
        data = whole_text(text)
        if len(data) > max_bytes:
            raise ValueError(
                f"{table.where(row.line)} has a text of {len(data)} bytes, more than "
                f"max_bytes={max_bytes}. A document is held in memory as a whole: "
                "split it, or raise max_bytes."
            )
        label = _label(table, row, label_column, targets)
        key = hashlib.blake2b(data, digest_size=8).digest()
        rows.extend((number, row.line, row.start, row.stop, len(data)))
        rows.append(int.from_bytes(key, "little", signed=True))
        labels.append(names.setdefault(label, label))
        if SPLIT_COLUMN in row.values:
            split = str(row.values[SPLIT_COLUMN]).strip()
            splits.append(names.setdefault(split, split))
    if not labels:
        raise ValueError(
            f"{where} has no documents: {num_empty} rows, none with text. Expected a "
            "row a document."
        )
    if splits and len(splits) != len(labels):
        raise ValueError(
            f"{where} has the column {SPLIT_COLUMN!r} in some rows alone. Expected it "
            "in each or in none."
        )
    return FoundTexts(
        reader=TableTexts(tables, np.frombuffer(rows, np.int64).reshape(-1, 6)),
        labels=labels,
        splits=splits,
        num_empty=num_empty,
        empty=empty,
        where=where,
        unit="rows",
    )


def _rows_of(tables: Sequence[Table]) -> Iterator[tuple[int, Table, Row]]:
    for number, table in enumerate(tables):
        for row in table.rows():
            yield number, table, row


def read_rows(path: str, text_column: str, max_bytes: int) -> Iterator[tuple[str, str]]:
    """Reads the texts of a table through, a row in memory at a time.

    Args:
        path: A file as `find_rows` takes it; it needs no labels.
        text_column: Name of the column of the texts.
        max_bytes: Largest size of a text.

    Returns:
        Iterator of pairs: where the row is, such as `"a.jsonl:12"`, and its text, which
        may be empty.

    Raises:
        ImportError: If pyarrow is needed and not installed.
        ValueError: If the file cannot be read, has no such column, or has something
            else than a text there.
    """
    table = _open_table(path, (text_column,), max_bytes)
    for row in table.rows():
        text = _text(table, row.line, row.values, text_column)
        yield f"{path}:{row.line}", whole_text(text).decode()


def _open_table(path: str, columns: Sequence[str], max_bytes: int) -> Table:
    stem = table_stem(path)
    if stem is None:
        raise ValueError(
            f"{path} is no table by its ending. Expected a folder with one subfolder a "
            f"class, <directory>/<class>/<file>, or a file ending in "
            f"{', '.join(FORMATS)}, compressed with {', '.join(COMPRESSIONS)} or not."
        )
    ending = path[len(stem) :].split(".")[1]
    return FORMATS[f".{ending.lower()}"](path, columns, max_bytes)


def _text(table: Table, line: int, values: Any, column: str) -> str:
    if column not in values:
        raise missing_column(table.where(line), column, list(values))
    text = values[column]
    if text is None:
        return ""
    if not isinstance(text, str):
        raise ValueError(
            f"{table.where(line)}: {column!r} is {str(text)[:40]!r}, of type "
            f"{type(text).__name__}. Expected a string."
        )
    return text


def _label(table: Table, row: Row, column: str, targets: Targets) -> Any:
    where = table.where(row.line)
    if column not in row.values:
        raise missing_column(where, column, list(row.values))
    return targets.read(_whole(row.values[column]), where, column)


def _whole(value: Any) -> Any:
    """A cell whose strings are as `whole_text` makes them."""
    if isinstance(value, str):
        return whole_text(value).decode("utf-8")
    return [_whole(each) for each in value] if isinstance(value, list) else value
