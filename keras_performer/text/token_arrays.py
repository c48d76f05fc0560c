"""Texts to arrays of ids in small integers, tokenized once before a training."""

import itertools

import numpy as np

from keras_performer.text.checks import check_integer

_TEXTS_AT_ONCE = 256


def tokenize_texts(texts, tokenizer, start_id=None, end_id=None):
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


def tokenize_documents(documents, tokenizer, separator_id=None):
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
    if not len(documents):
        raise ValueError("documents is empty. Expected at least one document.")
    dtype = _smallest_dtype(tokenizer, separator_id=separator_id)
    separator = np.array([] if separator_id is None else [separator_id], dtype)
    arrays = []
    for text, _ in documents.dataset():
        ids = tokenizer.tokenize(text[None]).values
        arrays += [separator, ids.numpy().astype(dtype)]
    return np.concatenate(arrays[1:])


def _smallest_dtype(tokenizer, **special_ids):
    ids = [
        check_integer(name, token_id, 1, 2**31 - 1)
        for name, token_id in special_ids.items()
        if token_id is not None
    ]
    return np.min_scalar_type(max(tokenizer.vocabulary_size - 1, *ids, 1))
