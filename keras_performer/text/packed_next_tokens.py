"""Packed sequences with the ids that follow: for training on the next token."""

from typing import Any, SupportsIndex

import numpy as np

from keras_performer.text.packed_sequences import PackedSequences


class PackedNextTokens(PackedSequences):
    """Rows of `PackedSequences` with targets and the weight of each.

    The target at a position is the id after it. The last position of a segment has no
    target, and neither has padding: their weight is 0, and that of all others 1. So
    what is cut from a longer sequence loses one target a window; for texts that are
    longer than a row by far, `TokenWindows` loses none.

    A loss with `reduction="mean_with_sample_weight"` is the mean over the targets;
    Keras' default divides by the number of all positions.

    The arguments and the errors are those of `PackedSequences`.

    Example:

    >>> from keras_performer.text import PackedNextTokens
    >>> rows = PackedNextTokens([[5, 6], [7, 8, 9]], context_length=6)
    >>> inputs, targets, sample_weight = rows[0]
    >>> inputs["token_ids"].tolist(), targets.tolist(), sample_weight.tolist()
    ([5, 6, 7, 8, 9, 0], [6, 0, 8, 9, 0, 0], [1.0, 0.0, 1.0, 1.0, 0.0, 0.0])
    """

    def __getitem__(self, index: SupportsIndex) -> Any:
        """A row: inputs; targets `(T,)`, int32; weights `(T,)`, float32."""
        inputs = super().__getitem__(index)
        token_ids, segment_ids = inputs["token_ids"], inputs["segment_ids"]
        is_followed: np.ndarray = np.zeros(self.context_length, bool)
        is_followed[:-1] = (segment_ids[1:] == segment_ids[:-1]) & (segment_ids[1:] > 0)
        targets = np.where(is_followed, np.roll(token_ids, -1), 0)
        return inputs, targets.astype(np.int32), is_followed.astype(np.float32)
