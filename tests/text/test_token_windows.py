"""Windows of one long array of ids."""

import numpy as np
import pytest

from keras_performer.text import TokenWindows


@pytest.mark.parametrize("size", [6, 7, 10, 11, 12])
def test_every_id_but_the_first_is_a_target_once(size):
    ids = np.arange(1, size + 1)
    windows = TokenWindows(ids, context_length=5)
    assert len(windows) == (size - 1) // 5
    for index, (inputs, targets) in enumerate(windows):
        start = 5 * index
        assert inputs.dtype == targets.dtype == np.int32
        assert inputs.tolist() == ids[start : start + 5].tolist()
        assert targets.tolist() == ids[start + 1 : start + 6].tolist()
    assert index == len(windows) - 1


@pytest.mark.parametrize(
    "dtype", ["uint8", "int8", "uint16", ">u2", "int32", "uint32", "int64", "uint64"]
)
def test_takes_integers_of_any_kind(dtype):
    inputs, targets = TokenWindows(np.array([3, 4, 5], dtype), 2)[0]
    assert (inputs.tolist(), targets.tolist()) == ([3, 4], [4, 5])
    assert inputs.dtype == np.dtype("int32")


def test_a_memory_mapped_array_stays_on_disk(tmp_path):
    np.save(tmp_path / "ids.npy", np.arange(1, 1001, dtype=np.uint16))
    ids = np.load(tmp_path / "ids.npy", mmap_mode="r")
    windows = TokenWindows(ids, 100, vocabulary_size=1001)
    assert isinstance(windows.token_ids, np.memmap)
    inputs, _ = windows[8]
    assert inputs.tolist() == list(range(801, 901))
    assert type(inputs) is np.ndarray


def test_indices_are_those_of_a_sequence():
    windows = TokenWindows(np.arange(1, 12), 5)
    assert windows[-1][0].tolist() == windows[np.int64(1)][0].tolist()
    for index in (2, -3):
        with pytest.raises(IndexError, match=f"2 windows. Received: index={index}"):
            windows[index]
    with pytest.raises(TypeError):
        windows[0.0]


def test_a_text_shorter_than_a_window_is_refused():
    with pytest.raises(ValueError, match=r"has 5 ids. Expected at least 6"):
        TokenWindows(np.arange(1, 6), 5)
    with pytest.raises(ValueError, match=r"has 0 ids. Expected at least 2"):
        TokenWindows([], 1)


@pytest.mark.parametrize(
    ("token_id", "vocabulary_size", "largest"),
    [(0, None, 2**31 - 1), (-3, 9, 8), (9, 9, 8), (2**31, None, 2**31 - 1)],
)
def test_ids_out_of_range_are_refused_with_their_place(
    token_id, vocabulary_size, largest
):
    ids = np.array([1, 2, 8, token_id, 3])
    message = f"has the id {token_id} at position 3. Expected ids from 1 to {largest}:"
    with pytest.raises(ValueError, match=message):
        TokenWindows(ids, 2, vocabulary_size)


@pytest.mark.parametrize(
    "ids", [np.ones((4, 4), int), np.ones(4), np.ones(4, bool), ["a"] * 4, 7]
)
def test_what_is_no_row_of_integers_is_refused(ids):
    with pytest.raises(
        ValueError, match=r"token_ids has shape .* 1-D array of integers"
    ):
        TokenWindows(ids, 2)


@pytest.mark.parametrize("value", [0, -1, 2.0, "8", True])
def test_sizes_that_are_none_are_refused(value):
    with pytest.raises(ValueError, match=f"context_length={value!r} was passed"):
        TokenWindows([1, 2, 3], value)
    with pytest.raises(ValueError, match=f"vocabulary_size={value!r} was passed"):
        TokenWindows([1, 2, 3], 2, vocabulary_size=value)
