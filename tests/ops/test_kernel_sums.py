"""Sums of features and values: how they are divided in the end."""

import numpy as np
from gradients import to_numpy, to_tensor
from tolerances import EXACT, assert_close

from keras_performer.ops import kernel_sums


def test_normalize_divides_by_the_last_component():
    sums = np.random.default_rng(0).random((2, 3, 5, 8)) + 1
    sums[0, 0, 0] = 0
    result = to_numpy(kernel_sums.normalize(to_tensor(sums), "float64"))
    expected = sums[..., :-1] / np.maximum(sums[..., -1:], 1)
    assert_close(result, expected, EXACT)
    assert np.all(result[0, 0, 0] == 0)
