"""`TokenArrays`: ids of texts in small integers, tokenized once before a training."""

import itertools
import tempfile
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from keras_performer.text.checks import check_integer
from keras_performer.text.documents import Documents
from keras_performer.text.tokenizer import Tokenizer

_TEXTS_AT_ONCE = 256
_TOKENIZERS = 2  # threads, each with a document


class TokenArrays:
    """Random access to the ids of texts that lie one after another in one array.

    Args:
        token_ids: Integers of shape `(S,)`: an array, or one that is memory-mapped.
        lengths: Number of ids of each text, which add up to S.

    Attributes:
        token_ids: The array.
        lengths: The lengths, an int64 array.
        starts: The place of the first id of each text, an int64 array.

    Raises:
        ValueError: If the lengths do not add up.

    Example:

    >>> import numpy as np
    >>> from keras_performer.text import TokenArrays
    >>> arrays = TokenArrays(np.array([5, 6, 7, 8, 9]), lengths=[2, 3])
    >>> len(arrays), arrays[1].tolist()
    (2, [7, 8, 9])
    """

    def __init__(self, token_ids: np.ndarray, lengths: npt.ArrayLike) -> None:
        self.token_ids = token_ids
        self.lengths = np.asarray(lengths, np.int64)
        if self.lengths.sum() != len(token_ids):
            raise ValueError(
                f"token_ids has {len(token_ids)} ids, and lengths add up to "
                f"{self.lengths.sum()}. Expected the same."
            )
        self.starts = np.cumsum(self.lengths) - self.lengths

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> np.ndarray:
        start, length = self.starts[index], self.lengths[index]
        return self.token_ids[start : start + length]


def cut_windows(
    lengths: np.ndarray, longest: int, first_cuts: np.ndarray | int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cuts texts at some place, and from there on at each multiple of a length.

    Args:
        lengths: Number of ids of each text, of shape `(N,)`.
        longest: Length of the longest window.
        first_cuts: Place of the first cut of each text, from 1 to `longest`.

    Returns:
        Arrays of shape `(W,)` in order: of each window the index of its text, its start
        in the text and its length. A text without ids has one window without ids.

    Example:

    >>> import numpy as np
    >>> from keras_performer.text.token_arrays import cut_windows
    >>> [column.tolist() for column in cut_windows(np.array([2, 9]), 4, 3)]
    [[0, 1, 1, 1], [0, 0, 3, 7], [2, 3, 4, 2]]
    """
    firsts: np.ndarray = np.broadcast_to(first_cuts, lengths.shape)
    counts = 1 - -np.maximum(lengths - firsts, 0) // longest
    owners: np.ndarray = np.repeat(np.arange(len(lengths)), counts)
    numbers = np.arange(len(owners)) - np.repeat(np.cumsum(counts) - counts, counts)
    ends = firsts[owners] + numbers * longest
    starts = np.maximum(ends - longest, 0)
    return owners, starts, np.minimum(ends, lengths[owners]) - starts


def tokenize_texts(
    texts: Iterable[str | bytes],
    tokenizer: Tokenizer,
    start_id: int | None = None,
    end_id: int | None = None,
) -> list[np.ndarray]:
    """Gives the ids of each text, as `PackedSequences` takes them.

    Args:
        texts: Strings, such as the sequences of `read_fasta`; any iterable.
        tokenizer: `Tokenizer`.
        start_id: Id to write before each text, or `None`. With one, a causal model
            learns how texts begin.
        end_id: Id to write after each text, or `None`. With one, it learns where they
            end.

    Returns:
        List of 1-D arrays of the smallest unsigned integers that hold the vocabulary:
        `uint8`, `uint16` or `uint32`.

    Raises:
        ValueError: If `texts` is one string or empty, or if an id is not positive.

    Example:

    >>> from keras_performer.text import AminoAcidTokenizer, tokenize_texts
    >>> tokenizer = AminoAcidTokenizer()
    >>> tokenize_texts(["ACD", "YA"], tokenizer, end_id=tokenizer.end_id)
    [array([ 1,  2,  3, 29], dtype=uint8), array([20,  1, 29], dtype=uint8)]
    """
    if isinstance(texts, (str, bytes)):
        raise ValueError("texts is one string. Expected several: pass [text] for one.")
    dtype = _smallest_dtype(tokenizer, start_id=start_id, end_id=end_id)
    start, end = (
        np.array([] if token_id is None else [token_id], dtype)
        for token_id in (start_id, end_id)
    )
    texts = iter(texts)
    arrays = []
    while batch := list(itertools.islice(texts, _TEXTS_AT_ONCE)):
        rows = tokenizer.tokenize(batch)
        ids = rows.values.numpy().astype(dtype)
        for row in np.split(ids, rows.row_splits.numpy()[1:-1]):
            arrays.append(np.concatenate([start, row, end]))
    if not arrays:
        raise ValueError("texts is empty. Expected at least one text.")
    return arrays


def tokenize_documents(
    documents: Documents, tokenizer: Tokenizer, separator_id: int | None = None
) -> np.ndarray:
    """Gives the ids of documents one after another, as `TokenWindows` takes them.

    Documents are read in their order, one at a time. What is held is the ids in small
    integers: of `ByteTokenizer` two bytes an id, twice so while they are joined. Keep
    them with `np.save(path, ids)`, and `np.load(path, mmap_mode="r")` reads from disk
    what a training asks for.

    Args:
        documents: `Documents`.
        tokenizer: `Tokenizer`.
        separator_id: Id to write between documents, or `None`. It may be one that the
            tokenizer never gives, from `tokenizer.vocabulary_size` on: then the model
            needs a larger vocabulary.

    Returns:
        1-D array of the smallest unsigned integers that hold the vocabulary: `uint8`,
        `uint16` or `uint32`.

    Raises:
        ValueError: If `documents` is empty, or `separator_id` is not positive.

    Example:

    >>> import pathlib
    >>> from keras_performer.text import ByteTokenizer, Documents, tokenize_documents
    >>> for name, text in (("a.txt", "ab"), ("b.txt", "c")):
    ...     _ = pathlib.Path(name).write_text(text)
    >>> documents = Documents(("a.txt", "b.txt"), (0, 0), ("all",))
    >>> tokenize_documents(documents, ByteTokenizer(), separator_id=257)
    array([ 98,  99, 257, 100], dtype=uint16)
    """
    dtype = _smallest_dtype(tokenizer, separator_id=separator_id)
    separator = np.array([] if separator_id is None else [separator_id], dtype)
    arrays = []
    for ids in _ids_of_each(documents, tokenizer):
        arrays += [separator, ids.astype(dtype)]
    return np.concatenate(arrays[1:])


def tokenize_each(documents: Documents, tokenizer: Tokenizer) -> TokenArrays:
    """Gives the ids of each document, as `DocumentBatches` takes them.

    They are in small integers in a temporary file, which is memory-mapped and has no
    name: it goes when they are no longer used. So however large the corpus is, some
    documents are in memory. (`TMPDIR` in the environment says where the file is.)

    Args:
        documents: `Documents`.
        tokenizer: `Tokenizer`.

    Returns:
        `TokenArrays`, a text for each document.

    Raises:
        ValueError: If `documents` is empty.

    Example:

    >>> import pathlib
    >>> from keras_performer.text import ByteTokenizer, Documents, tokenize_each
    >>> for name, text in (("a.txt", "ab"), ("b.txt", "c")):
    ...     _ = pathlib.Path(name).write_text(text)
    >>> documents = Documents(("a.txt", "b.txt"), (0, 0), ("all",))
    >>> [ids.tolist() for ids in tokenize_each(documents, ByteTokenizer())]
    [[98, 99], [100]]
    """
    dtype = _smallest_dtype(tokenizer)
    lengths = []
    with tempfile.TemporaryFile() as file:
        for ids in _ids_of_each(documents, tokenizer):
            lengths.append(len(ids))
            file.write(ids.astype(dtype).tobytes())
        file.flush()
        # An empty file cannot be mapped.
        token_ids = np.memmap(file, dtype, "r") if any(lengths) else np.empty(0, dtype)
    return TokenArrays(token_ids, lengths)


def _ids_of_each(documents: Documents, tokenizer: Tokenizer) -> Iterator[np.ndarray]:
    """The ids of documents in their order, some documents in memory."""
    if not len(documents):
        raise ValueError("documents is empty. Expected at least one document.")

    def tokenize(text: Any, label_id: Any) -> Any:
        return tokenizer.tokenize(text[tf.newaxis]).values

    return (
        documents.dataset()
        .map(tokenize, num_parallel_calls=_TOKENIZERS, deterministic=True)
        .as_numpy_iterator()
    )


def _smallest_dtype(tokenizer: Tokenizer, **special_ids: int | None) -> np.dtype:
    ids = [
        check_integer(name, token_id, 1, 2**31 - 1)
        for name, token_id in special_ids.items()
        if token_id is not None
    ]
    return np.min_scalar_type(max(tokenizer.vocabulary_size - 1, *ids, 1))
