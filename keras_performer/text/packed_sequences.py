"""Sequences of unequal lengths packed into rows, with hardly any padding."""

import bisect
import operator
from collections.abc import Iterable
from typing import Any, SupportsIndex

import numpy as np
import numpy.typing as npt

from keras_performer.text.checks import (
    bad_id_error,
    check_id_array,
    check_integer,
    find_bad_id,
)
from keras_performer.text.token_arrays import TokenArrays, cut_windows
from keras_performer.text.tokenizer import PAD


class PackedSequences:
    """Random access to rows of several sequences each, told apart by segment ids.

    A row has as many sequences as fit, one after another, and padding at its end
    alone. Attention that is given `segment_ids` lets none see another. A sequence
    longer than a row is cut into windows of `context_length`, which are segments of
    their own; the last is shorter.

    Rows are filled by best fit, longest first: each sequence goes where it leaves the
    least room. Which sequences share a row is always the same; shuffle the rows.

    It has `len()` and `[i]`, as `shuffled_batches`, `ordered_batches` and Grain's
    `MapDataset.source` need them. For training on the next token use
    `PackedNextTokens`; for masked training give the batches to `TokenMasking`.

    Args:
        sequences: List of integers of shape `(S,)`, such as `tokenize_texts` gives;
            S may differ. They are copied into one array of small integers.
        context_length: Length of a row, T.
        vocabulary_size: Number of ids that the model has; larger ones are refused.
            `None` allows all that int32 holds.

    Raises:
        ValueError: If `sequences` or one of them is empty, if one is not 1-D or has an
            id that is not from 1 to `vocabulary_size - 1`, or if a size is not
            positive.

    Example:

    >>> from keras_performer.text import PackedSequences
    >>> rows = PackedSequences([[5, 6], [7], [8, 9, 8]], context_length=4)
    >>> len(rows), rows.padding_share
    (2, 0.25)
    >>> rows[0]["token_ids"], rows[0]["segment_ids"]
    (array([7, 8, 9, 8], dtype=int32), array([1, 2, 2, 2], dtype=int32))
    """

    def __init__(
        self,
        sequences: Iterable[npt.ArrayLike],
        context_length: int,
        vocabulary_size: int | None = None,
    ) -> None:
        self.context_length = check_integer("context_length", context_length, 1)
        if vocabulary_size is not None:
            vocabulary_size = check_integer("vocabulary_size", vocabulary_size, 2)
        self.vocabulary_size = vocabulary_size
        joined = _join(sequences, vocabulary_size)
        self._token_ids = joined.token_ids
        owners, starts, lengths = cut_windows(
            joined.lengths, self.context_length, self.context_length
        )
        starts += joined.starts[owners]
        rows = _best_fit(lengths, self.context_length)
        by_row = np.argsort(rows, kind="stable")
        self._starts, self._lengths = starts[by_row], lengths[by_row]
        self._row_starts: np.ndarray = np.append(0, np.cumsum(np.bincount(rows)))

    @property
    def padding_share(self) -> float:
        """Share of all positions that is padding."""
        return 1 - len(self._token_ids) / (len(self) * self.context_length)

    def __len__(self) -> int:
        return len(self._row_starts) - 1

    def __getitem__(self, index: SupportsIndex) -> Any:
        """A row: `token_ids` and `segment_ids`, each `(T,)`, int32, 0 at padding."""
        row = operator.index(index)
        if not -len(self) <= row < len(self):
            raise IndexError(f"There are {len(self)} rows. Received: index={index}")
        row %= len(self)
        pieces = slice(self._row_starts[row], self._row_starts[row + 1])
        lengths = self._lengths[pieces]
        token_ids: np.ndarray = np.full(self.context_length, PAD, np.int32)
        segment_ids: np.ndarray = np.zeros(self.context_length, np.int32)
        ids = [
            self._token_ids[start : start + length]
            for start, length in zip(self._starts[pieces], lengths, strict=True)
        ]
        token_ids[: lengths.sum()] = np.concatenate(ids)
        segment_ids[: lengths.sum()] = np.repeat(np.arange(len(ids)) + 1, lengths)
        return {"token_ids": token_ids, "segment_ids": segment_ids}


def _join(
    sequences: Iterable[npt.ArrayLike], vocabulary_size: int | None
) -> TokenArrays:
    """The ids of all sequences in one array."""
    arrays = [
        check_id_array(f"sequences[{index}]", sequence)
        for index, sequence in enumerate(sequences)
    ]
    if not arrays:
        raise ValueError("sequences is empty. Expected at least one sequence.")
    lengths = np.array([len(array) for array in arrays])
    if not lengths.all():
        raise ValueError(
            f"sequences[{np.argmin(lengths)}] is empty. Expected at least one id in "
            "each sequence: leave it out."
        )
    token_ids = np.concatenate(arrays)
    position = find_bad_id(token_ids, vocabulary_size)
    if position is not None:
        ends = np.cumsum(lengths)
        index = np.searchsorted(ends, position, side="right")
        position -= ends[index] - lengths[index]
        token_id = arrays[index][position]
        name = f"sequences[{index}]"
        raise bad_id_error(name, token_id, position, vocabulary_size)
    dtype = np.min_scalar_type(token_ids.max())
    return TokenArrays(token_ids.astype(dtype), lengths)


def _best_fit(lengths: np.ndarray, row_length: int) -> np.ndarray:
    """The row of each piece, longest first, where it leaves the least room."""
    rows: np.ndarray = np.empty(len(lengths), np.int64)
    row_count = 0
    rooms: list[int] = []  # sorted: the lengths of room that some row has
    rows_with: dict[int, list[int]] = {}  # a length of room: such rows
    for piece in np.argsort(-lengths, kind="stable").tolist():
        length = int(lengths[piece])
        smallest = bisect.bisect_left(rooms, length)
        if smallest == len(rooms):
            row, room = row_count, row_length
            row_count += 1
        else:
            room = rooms[smallest]
            row = rows_with[room].pop()
            if not rows_with[room]:
                del rooms[smallest], rows_with[room]
        rows[piece] = row
        room -= length
        if room and room not in rows_with:
            bisect.insort(rooms, room)
            rows_with[room] = []
        if room:
            rows_with[room].append(row)
    return rows
