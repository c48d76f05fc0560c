"""Segments: numbers for stretches of equal ids, and the sums of the open one."""

import numpy as np
from gradients import to_numpy, to_tensor
from tolerances import EXACT, assert_close

from keras_performer.ops.segments import (
    continues_segment,
    number_segments,
    same_segment,
    segment_sums,
)

B, H, N, C, DV, M = 2, 3, 5, 2, 7, 11
IDS = np.array([[5] * 10, [3, 1, 1, 1, 3, 3, 3, 4, 4, 9]])
NUMBERS = np.array([[0] * 10, [0, 1, 1, 1, 2, 2, 2, 3, 3, 4]])


def test_a_segment_begins_where_the_id_changes():
    numbers = to_numpy(number_segments(to_tensor(IDS)))
    assert np.array_equal(numbers, NUMBERS)


def test_pairs_of_one_segment():
    same = to_numpy(same_segment(to_tensor(IDS[1]), to_tensor(IDS[0])))
    assert same.shape == (10, 10) and not same.any()
    same = to_numpy(same_segment(to_tensor(NUMBERS), to_tensor(NUMBERS)))
    assert np.all(same[0])
    assert same[1, 1].tolist() == [n == 1 for n in NUMBERS[1]]


def test_who_goes_on_with_the_segment_before_its_chunk():
    chunks = NUMBERS.reshape(B, N, C).astype("float32")
    before = np.concatenate([[[-1.0], [0.0]], chunks[:, :-1, -1]], axis=1)
    goes_on = continues_segment(
        to_tensor(chunks), to_tensor(before.astype("float32")), 2, "float64"
    )
    expected = np.tile(chunks == before[..., None], (1, 1, 2))[:, None, ..., None]
    assert np.array_equal(to_numpy(goes_on), expected)


def test_the_sums_of_the_open_segment():
    generator = np.random.default_rng(0)
    keys = generator.standard_normal((B, H, N, C, M))
    values = generator.standard_normal((B, H, N, C, DV + 1))
    before = generator.standard_normal((B, H, DV + 1, M))
    chunks = NUMBERS.reshape(B, N, C).astype(EXACT)
    carry = (to_tensor(before), to_tensor(np.zeros(B)))
    inputs = map(to_tensor, (keys, values, chunks))
    sums, segments, (last, segment) = segment_sums(carry, *inputs)

    total, number = before, np.zeros(B)
    for n in range(N):
        assert_close(to_numpy(sums)[:, :, n], total, EXACT)
        assert np.array_equal(to_numpy(segments)[:, n], number)
        kept = (number == chunks[:, n, -1])[:, None, None, None]
        number = chunks[:, n, -1]
        seen = values[:, :, n] * (chunks[:, n] == number[:, None])[:, None, :, None]
        total = total * kept + np.einsum("bhcd,bhcm->bhdm", seen, keys[:, :, n])
    assert_close(to_numpy(last), total, EXACT)
    assert np.array_equal(to_numpy(segment), number)
