"""Checks of sizes and of arrays of ids, with errors that say what to do."""

import numbers
from typing import Any

import numpy as np
import numpy.typing as npt

_LARGEST_VOCABULARY = 2**31  # ids are int32 in the models


def check_integer(name: str, value: Any, minimum: int, maximum: int = 2**63 - 1) -> int:
    """Returns an integer of any kind as an `int`.

    Args:
        name: Name of the argument.
        value: What was passed.
        minimum: Smallest value allowed.
        maximum: Largest value allowed.

    Returns:
        `int`.

    Raises:
        ValueError: If `value` is no integer or not in the range.
    """
    is_integer = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not is_integer or not minimum <= value <= maximum:
        upper = "" if maximum == 2**63 - 1 else f" to {maximum}"
        raise ValueError(
            f"{name}={value!r} was passed. Expected an integer from {minimum}{upper}."
        )
    return int(value)


def check_id_array(name: str, token_ids: npt.ArrayLike) -> np.ndarray:
    """Returns ids as a 1-D integer array; a memory-mapped one stays on disk.

    Args:
        name: What the error calls the ids.
        token_ids: Array or list.

    Returns:
        `np.ndarray` of shape (S,).

    Raises:
        ValueError: If `token_ids` is not 1-D or holds something else than integers.
    """
    token_ids = np.asanyarray(token_ids)
    if token_ids.ndim != 1 or (token_ids.size and token_ids.dtype.kind not in "iu"):
        raise ValueError(
            f"{name} has shape {token_ids.shape} and dtype {token_ids.dtype}. Expected "
            "a 1-D array of integers, the ids of tokens one after another."
        )
    return token_ids


def find_bad_id(token_ids: np.ndarray, vocabulary_size: int | None) -> int | None:
    """Looks for an id that is padding or not of the vocabulary.

    Args:
        token_ids: Integer array of shape (S,), S > 0.
        vocabulary_size: Number of ids with that of padding, or `None` for any that
            int32 holds.

    Returns:
        Index of such an id, or `None`.
    """
    if token_ids.min() < 1:
        return int(token_ids.argmin())
    if token_ids.max() >= (vocabulary_size or _LARGEST_VOCABULARY):
        return int(token_ids.argmax())
    return None


def bad_id_error(
    name: str, token_id: int, position: int, vocabulary_size: int | None
) -> ValueError:
    """The error about an id that `find_bad_id` has found."""
    largest = (vocabulary_size or _LARGEST_VOCABULARY) - 1
    return ValueError(
        f"{name} has the id {token_id} at position {position}. Expected ids from 1 to "
        f"{largest}: 0 is padding, which a model leaves out. Use the tokenizer that "
        "the vocabulary size is of, or add 1 to ids that start at 0."
    )
