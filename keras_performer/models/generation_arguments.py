"""Arguments of generation: rows of unequal length, stop tokens, counts."""

import numpy as np

from keras_performer.layers.validation import check_size


def token_rows(token_ids, vocabulary_size, name):
    """Rows of token ids as integer arrays, without padding.

    Args:
        token_ids: Rows of token ids: a list of lists or arrays, or an integer array of
            shape (B, T). Zeros are padding and left out, wherever they stand.
        vocabulary_size: Number of token ids.
        name: The argument's name, for the errors.

    Returns:
        List of integer arrays of shapes (T,).

    Raises:
        ValueError: If there is no row, a row has no token, or what is no token id.

    Example:

    >>> [row.tolist() for row in token_rows([[5, 3], [0, 7]], 10, "prompt_ids")]
    [[5, 3], [7]]
    """
    is_single = not hasattr(token_ids, "__len__")
    rows = [np.asarray(row) for row in ([token_ids] if is_single else token_ids)]
    if not rows:
        raise ValueError(f"`{name}` must have at least one row. Received: none")
    for index, row in enumerate(rows):
        if row.ndim != 1:
            raise ValueError(
                f"`{name}` must be rows of token ids, such as [[5, 3], [7]]; one row "
                "is a batch of one, [[5, 3]]. Received: row "
                f"{index} of shape {row.shape}"
            )
        if row.size and not np.issubdtype(row.dtype, np.integer):
            raise ValueError(
                f"Token ids must be integers. Received: row {index} of `{name}` of "
                f"dtype {row.dtype}"
            )
        wrong = row[(row < 0) | (row >= vocabulary_size)]
        if wrong.size:
            raise ValueError(
                f"Token ids must be at least 0 and less than {vocabulary_size}, the "
                f"size of the vocabulary. Received: {wrong[0]} in row {index} of "
                f"`{name}`"
            )
    rows = [row[row != 0] for row in rows]
    if not all(row.size for row in rows):
        empty = [index for index, row in enumerate(rows) if not row.size]
        raise ValueError(
            "Each row must have at least one token; where there is nothing to go on "
            "from, start with one that marks the start. Received: nothing but padding "
            f"in rows {empty} of `{name}`"
        )
    return rows


def left_padded(rows):
    """Rows of token ids as one int32 array, padded with 0 on the left.

    Example:

    >>> left_padded([[5, 3, 2], [7]]).tolist()
    [[5, 3, 2], [0, 0, 7]]
    """
    padded = np.zeros((len(rows), max(map(len, rows))), dtype="int32")
    for target, row in zip(padded, rows, strict=True):
        target[-len(row) :] = row
    return padded


def right_padded(rows, max_sequence_length=None):
    """Rows of token ids as one int32 array, padded with 0 on the right.

    Its length is a power of two, so that there are few shapes to compile, unless that
    is more than the longest sequence.

    Args:
        rows: Rows of token ids.
        max_sequence_length: The longest sequence of the backbone, or `None`.

    Returns:
        int32 array of shape (B, S).

    Raises:
        ValueError: If a row is longer than the longest sequence.

    Example:

    >>> right_padded([[5, 3, 2], [7]]).tolist()
    [[5, 3, 2, 0], [7, 0, 0, 0]]
    """
    longest = max(map(len, rows))
    length = 1 << (longest - 1).bit_length()
    if max_sequence_length:
        if longest > max_sequence_length:
            raise ValueError(
                "The backbone has learned positions for `max_sequence_length` tokens: "
                "shorten the source, or use other positions. Received: a source of "
                f"{longest} tokens, max_sequence_length={max_sequence_length}"
            )
        length = min(length, max_sequence_length)
    padded = np.zeros((len(rows), length), dtype="int32")
    for target, row in zip(padded, rows, strict=True):
        target[: len(row)] = row
    return padded


def stop_tokens(stop_token_ids, vocabulary_size):
    """Returns stop tokens as a sorted tuple of ints, empty for `None`.

    Raises:
        ValueError: If one is not of the vocabulary, or is padding.

    Example:

    >>> stop_tokens([7, 3], vocabulary_size=10)
    (3, 7)
    """
    if stop_token_ids is None:
        return ()
    tokens = np.asarray(stop_token_ids)
    is_list = tokens.ndim == 1 and np.issubdtype(tokens.dtype, np.integer)
    if not is_list or np.any((tokens < 1) | (tokens >= vocabulary_size)):
        raise ValueError(
            "`stop_token_ids` must be a list of token ids from 1 to "
            f"{vocabulary_size - 1}, or `None`. Received: stop_token_ids="
            f"{stop_token_ids!r}"
        )
    return tuple(sorted(set(tokens.tolist())))


def check_length(length, max_new_tokens, max_sequence_length):
    """Raises a `ValueError` where so many tokens cannot be generated.

    Args:
        length: T, the longest prompt's.
        max_new_tokens: Number of new tokens.
        max_sequence_length: The longest sequence of the backbone, or `None`.
    """
    check_size("max_new_tokens", max_new_tokens)
    # The last new token is not read.
    if max_sequence_length and length + max_new_tokens - 1 > max_sequence_length:
        raise ValueError(
            "The backbone has learned positions for `max_sequence_length` tokens: "
            "shorten the prompt, or use rotary positions. Received: a prompt of "
            f"{length} tokens, max_new_tokens={max_new_tokens}, max_sequence_length="
            f"{max_sequence_length}"
        )
