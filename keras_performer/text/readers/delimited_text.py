"""`DelimitedText`: tables of separated values, as CSV and TSV are."""

import contextlib
import csv
from collections.abc import Iterable, Iterator

from keras_performer.text.readers.table import Row, Table, missing_column

_DELIMITERS = ",\t;|"


class DelimitedText(Table):
    """A file of separated values whose first line names the columns.

    Fields may be in double quotes, with any characters between them: line ends, and
    quotes that are doubled. The separator is that of comma, tab, semicolon and bar
    that finds the wanted columns in the first line.
    """

    _delimiter: str
    _names: list[str]

    def rows(self) -> Iterator[Row]:
        # A limit of the whole process: it is raised, never lowered.
        csv.field_size_limit(max(csv.field_size_limit(), self.max_bytes))
        begin: tuple[int, int] | None = None  # line and place of the row
        stop = last = 0

        def texts() -> Iterator[str]:
            nonlocal begin, stop, last
            for line in self.lines():
                last, start, stop, text = line
                begin = begin or (last, start)
                yield text

        lines = texts()
        self._read_header(next(lines, ""))
        names = self._names
        reader = _reader(lines, self._delimiter)
        while True:
            begin = None
            try:
                fields = next(reader, None)
            except csv.Error as error:
                line = begin[0] if begin else last
                raise ValueError(
                    f"{self.where(line)} cannot be read: {error}, at line {last}. A "
                    "field with quotes in it stands in double quotes, and those in it "
                    "are doubled; a quote that is opened has to be closed; a field "
                    f"has at most max_bytes={self.max_bytes} characters."
                ) from error
            if fields is None:
                return
            if not fields:  # a blank line
                continue
            line, start = begin or (last, stop)
            if len(fields) != len(names):
                raise ValueError(
                    f"{self.where(line)} has {len(fields)} fields, and the first line "
                    f"has {len(names)}. Expected as many: a field with "
                    f"{self._delimiter!r} in it stands in double quotes."
                )
            yield Row(line, start, stop, dict(zip(names, fields, strict=True)))

    def text_of(self, data: bytes) -> str:
        [fields] = _reader([data.decode("utf-8")], self._delimiter)
        return fields[self._names.index(self.columns[0])]

    def _read_header(self, line: str) -> None:
        """Finds the separator and the names of the columns."""
        wanted = set(self.columns[:2])
        found: dict[str, list[str]] = {}
        for delimiter in _DELIMITERS:
            with contextlib.suppress(csv.Error):
                found[delimiter] = next(_reader([line], delimiter), [])
        if not any(found.values()):
            raise ValueError(
                f"{self.where(1)} does not name the columns. Expected their names in "
                "the first line, such as text,label."
            )
        # Of those that find as many of the wanted columns, the one with most columns.
        self._delimiter = max(
            found, key=lambda d: (len(wanted & set(found[d])), len(found[d]))
        )
        self._names = found[self._delimiter]
        for column in self.columns:
            if self._names.count(column) > 1:
                raise ValueError(
                    f"{self.where(1)} has the column {column!r} more than once. "
                    "Rename one of them."
                )
        for column in self.columns[:2]:
            if column not in self._names:
                raise missing_column(self.where(1), column, self._names)


def _reader(lines: Iterable[str], delimiter: str) -> Iterator[list[str]]:
    return csv.reader(lines, delimiter=delimiter, strict=True)
