"""Windows of one long array of ids: inputs and the ids that follow them."""

import operator
from typing import SupportsIndex

import numpy as np
import numpy.typing as npt

from keras_performer.text.checks import (
    bad_id_error,
    check_id_array,
    check_integer,
    find_bad_id,
)


class TokenWindows:
    """Random access to the windows of a long text, for next-token training.

    Window `i` has the ids from `i * context_length` on as its inputs and those that
    follow each as its targets: every id but the first is a target once. What is left
    at the end and does not fill a window is not seen.

    It has `len()` and `[i]`, as `shuffled_batches`, `ordered_batches` and Grain's
    `MapDataset.source` need them. Ids stay where they are: of an array from
    `np.load(path, mmap_mode="r")` a window alone is read from disk. When it is made,
    all ids are read once and checked.

    Args:
        token_ids: Integers of shape `(S,)`, such as `tokenize_documents` gives: an
            array, or one that is memory-mapped.
        context_length: Number of inputs in a window.
        vocabulary_size: Number of ids that the model has; larger ones are refused.
            `None` allows all that int32 holds.

    Raises:
        ValueError: If `token_ids` is not as described, has an id that is not from 1 to
            `vocabulary_size - 1`, or has no `context_length + 1` ids, or if a size is
            not positive.

    Example:

    >>> import numpy as np
    >>> from keras_performer.text import TokenWindows
    >>> windows = TokenWindows(np.arange(1, 9), context_length=3)
    >>> len(windows)
    2
    >>> windows[1]
    (array([4, 5, 6], dtype=int32), array([5, 6, 7], dtype=int32))
    """

    def __init__(
        self,
        token_ids: npt.ArrayLike,
        context_length: int,
        vocabulary_size: int | None = None,
    ) -> None:
        self.context_length = check_integer("context_length", context_length, 1)
        if vocabulary_size is not None:
            vocabulary_size = check_integer("vocabulary_size", vocabulary_size, 2)
        self.vocabulary_size = vocabulary_size
        self.token_ids = check_id_array("token_ids", token_ids)
        if len(self.token_ids) <= self.context_length:
            raise ValueError(
                f"token_ids has {len(self.token_ids)} ids. Expected at least "
                f"{self.context_length + 1}, as one window has context_length="
                f"{self.context_length} inputs and the id that follows: pass a longer "
                "text or a smaller context_length."
            )
        position = find_bad_id(self.token_ids, vocabulary_size)
        if position is not None:
            token_id = int(self.token_ids[position])
            raise bad_id_error("token_ids", token_id, position, vocabulary_size)

    def __len__(self) -> int:
        return (len(self.token_ids) - 1) // self.context_length

    def __getitem__(self, index: SupportsIndex) -> tuple[np.ndarray, np.ndarray]:
        """Inputs and targets of a window, each `(T,)`, int32."""
        place = operator.index(index)
        if not -len(self) <= place < len(self):
            raise IndexError(f"There are {len(self)} windows. Received: index={index}")
        start = place % len(self) * self.context_length
        ids = np.array(
            self.token_ids[start : start + self.context_length + 1], np.int32
        )
        return ids[:-1], ids[1:]
