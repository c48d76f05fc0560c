"""`ParquetTable`: rows of a Parquet file, through pyarrow."""

import itertools
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from typing import Any

from keras_performer.extras import pip_line
from keras_performer.text.readers.table import Row, Table, missing_column, whole_text

_ROWS_AT_ONCE = 64
_BUFFER_BYTES = 2**20


class ParquetTable(Table):
    """A Parquet file.

    Its texts are compressed by the thousand, so they are written once to a temporary
    file without a name, from which each is read again.
    """

    unit = "row"

    def __init__(self, path: str, columns: Sequence[str], max_bytes: int) -> None:
        self._pyarrow = _import_pyarrow()
        super().__init__(path, columns, max_bytes)
        self._texts = tempfile.TemporaryFile()  # noqa: SIM115
        weakref.finalize(self, self._texts.close)

    def rows(self) -> Iterator[Row]:
        stop = 0
        rows = itertools.chain.from_iterable(self._batches())
        for number, values in enumerate(rows, 1):
            text = values[self.columns[0]]
            start = stop
            if isinstance(text, str):
                stop += self._texts.write(whole_text(text))
            yield Row(number, start, stop, values)
        self._texts.flush()

    def text_of(self, data: bytes) -> str:
        return data.decode("utf-8")

    def _batches(self) -> Iterator[list[dict[str, Any]]]:
        """Some rows at a time, the wanted columns of each."""
        try:
            # A buffer has columns read by and by; without, as whole row groups, which
            # may be the whole file.
            file = self._pyarrow.parquet.ParquetFile(
                self._file, buffer_size=_BUFFER_BYTES, pre_buffer=False
            )
            names = file.schema_arrow.names
            for column in self.columns[:2]:
                if column not in names:
                    raise missing_column(self.path, column, names)
            wanted = [column for column in self.columns if column in names]
            for batch in file.iter_batches(_ROWS_AT_ONCE, columns=wanted):
                yield batch.to_pylist()
        except (self._pyarrow.ArrowException, OSError) as error:
            raise ValueError(
                f"{self.path} cannot be read as a Parquet file: {error}. Write it "
                "anew, or give it the right ending."
            ) from error


def _import_pyarrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError(
            f"Parquet files need pyarrow. Install it with: {pip_line('parquet')}"
        ) from error
    return pyarrow
