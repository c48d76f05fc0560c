"""Arguments of generation: prompts of unequal length, stop tokens, counts."""

import numpy as np


def left_padded(prompt_ids, vocabulary_size):
    """Rows of token ids as one array, padded on the left.

    Args:
        prompt_ids: Rows of token ids: a list of lists or arrays, or an integer array
            of shape (B, T). Zeros are padding and left out, wherever they stand.
        vocabulary_size: Number of token ids.

    Returns:
        int32 array of shape (B, T), with the T of the longest row.

    Raises:
        ValueError: If there is no row, a row has no token, or what is no token id.

    Example:

    >>> left_padded([[5, 3, 2], [7], [8, 9, 0]], vocabulary_size=10).tolist()
    [[5, 3, 2], [0, 0, 7], [0, 8, 9]]
    """
    rows = [np.asarray(row) for row in prompt_ids]
    if not rows:
        raise ValueError("`prompt_ids` must have at least one row. Received: none")
    for index, row in enumerate(rows):
        if row.ndim != 1:
            raise ValueError(
                "`prompt_ids` must be rows of token ids, such as [[5, 3], [7]]; one "
                f"prompt is a batch of one, [[5, 3]]. Received: row {index} of shape "
                f"{row.shape}"
            )
        if row.size and not np.issubdtype(row.dtype, np.integer):
            raise ValueError(
                f"Token ids must be integers. Received: row {index} of `prompt_ids` of "
                f"dtype {row.dtype}"
            )
        wrong = row[(row < 0) | (row >= vocabulary_size)]
        if wrong.size:
            raise ValueError(
                f"Token ids must be at least 0 and less than {vocabulary_size}, the "
                f"size of the vocabulary. Received: {wrong[0]} in row {index} of "
                "`prompt_ids`"
            )
    rows = [row[row != 0] for row in rows]
    if not all(row.size for row in rows):
        empty = [index for index, row in enumerate(rows) if not row.size]
        raise ValueError(
            "Each prompt must have at least one token; where there is nothing to go on "
            "from, start with one that marks the start. Received: nothing but padding "
            f"in rows {empty} of `prompt_ids`"
        )
    padded = np.zeros((len(rows), max(map(len, rows))), dtype="int32")
    for target, row in zip(padded, rows, strict=True):
        target[-len(row) :] = row
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
    is_count = isinstance(max_new_tokens, int) and not isinstance(max_new_tokens, bool)
    if not is_count or max_new_tokens < 1:
        raise ValueError(
            "`max_new_tokens` must be a positive integer. Received: "
            f"max_new_tokens={max_new_tokens!r}"
        )
    # The last new token is not read.
    if max_sequence_length and length + max_new_tokens - 1 > max_sequence_length:
        raise ValueError(
            "The backbone has learned positions for `max_sequence_length` tokens: "
            "shorten the prompt, or use rotary positions. Received: a prompt of "
            f"{length} tokens, max_new_tokens={max_new_tokens}, max_sequence_length="
            f"{max_sequence_length}"
        )
