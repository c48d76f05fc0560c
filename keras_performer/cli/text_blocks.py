"""`TextBlocks`: texts of files and tables, some of them in memory at a time."""

import sys
from collections.abc import Iterator, Sequence

from keras_performer.cli.texts import STANDARD_INPUT, read_text
from keras_performer.text.documents import MAX_BYTES
from keras_performer.text.readers.table_texts import read_rows, table_stem

# What is in memory at a time, and goes through a model together.
BLOCK_TEXTS = 256
BLOCK_BYTES = 2**22


class TextBlocks:
    """Reads texts in blocks of bounded size, and goes on after a file with an error.

    Args:
        paths: Paths of files, and `-`.
        text_column: Column of the texts of tables, each row of which is a document;
            `None` where every file is a document.

    Attributes:
        num_failures: Number of files that could not be read, or not to their end, each
            of which a line on standard error names.
    """

    def __init__(self, paths: Sequence[str], text_column: str | None = None) -> None:
        self.paths = paths
        self.text_column = text_column
        self.num_failures = 0

    def __iter__(self) -> Iterator[tuple[list[str], list[str]]]:
        """Pairs of names and texts, at most `BLOCK_TEXTS` and `BLOCK_BYTES` or one."""
        names: list[str] = []
        texts: list[str] = []
        size = 0
        for name, text in self._texts():
            num_bytes = len(text.encode())
            if texts and (size + num_bytes > BLOCK_BYTES or len(texts) == BLOCK_TEXTS):
                yield names, texts
                names, texts, size = [], [], 0
            names.append(name)
            texts.append(text)
            size += num_bytes
        if texts:
            yield names, texts

    def _texts(self) -> Iterator[tuple[str, str]]:
        for path in self.paths:
            try:
                yield from self._texts_of(path)
            except (OSError, ValueError) as error:
                self.num_failures += 1
                print(error, file=sys.stderr, flush=True)

    def _texts_of(self, path: str) -> Iterator[tuple[str, str]]:
        is_table = path != STANDARD_INPUT and table_stem(path) is not None
        if self.text_column is not None and is_table:
            yield from read_rows(path, self.text_column, MAX_BYTES)
        else:
            yield path, read_text(path)
