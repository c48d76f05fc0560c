"""`TextReader`: where the texts of documents are, each read when it is asked for."""

import abc
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np


class TextReader(abc.ABC):
    """The texts of documents on disk: what is held of each is where it lies."""

    @abc.abstractmethod
    def __len__(self) -> int:
        """Number of documents."""

    @abc.abstractmethod
    def name(self, index: int) -> str:
        """Where a document is: its path, or path and line such as `a.jsonl:12`."""

    @abc.abstractmethod
    def size(self, index: int) -> int:
        """Number of bytes of a text; of a file a byte order mark is counted."""

    @abc.abstractmethod
    def read(self, index: int) -> bytes:
        """A text in UTF-8, without a byte order mark."""

    @abc.abstractmethod
    def keys(self) -> Iterator[bytes]:
        """What tells each document from the others wherever they lie, in order."""

    @abc.abstractmethod
    def select(self, indices: np.ndarray) -> "TextReader":
        """Those documents alone, in that order."""


class FoundTexts(NamedTuple):
    """Texts that were found and checked, with what is known of them.

    Attributes:
        reader: `TextReader` of the texts that are not empty.
        labels: What `Targets.read` gave for each text, such as the name of its class.
        splits: What the column `split` of a table has for each, or nothing.
        num_empty: Number of texts that were left out because they are empty.
        empty: Names of the first three of them.
        where: What errors call the source, a path.
        unit: What the source has a document of: `"files"` or `"rows"`.
    """

    reader: TextReader
    labels: list[Any]
    splits: list[str]
    num_empty: int
    empty: list[str]
    where: str
    unit: str
