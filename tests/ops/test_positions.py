"""Positions are counted over what masks leave, anew in each segment."""

import numpy as np
import pytest
from gradients import to_numpy, to_tensor

from keras_performer.ops import count_positions

MASK = np.array([[0, 1, 1, 0, 1, 1, 0, 1, 1], [1] * 9], "bool")
IDS = np.array([[2, 2, 2, 2, 2, 7, 7, 2, 2], [1, 1, 1, 1, 0, 0, 0, 0, 1]])


def counted(mask, ids):
    """Positions by definition, one element after the other."""
    positions = np.zeros(mask.shape, "int32")
    for row in range(len(mask)):
        count = 0
        for t in range(mask.shape[1]):
            if t and ids[row, t] != ids[row, t - 1]:
                count = 0
            count += mask[row, t]
            positions[row, t] = max(count - 1, 0)
    return positions


@pytest.mark.parametrize("ids", [None, IDS], ids=["one segment", "packed"])
def test_positions_are_counted(ids):
    segments = None if ids is None else to_tensor(ids)
    actual = to_numpy(count_positions(to_tensor(MASK), segments))
    assert actual.dtype == np.int32
    whole = np.zeros_like(IDS) if ids is None else ids
    assert np.array_equal(actual, counted(MASK, whole))
