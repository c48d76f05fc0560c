"""The benchmark of books: what is read of them, and the differences in pairs."""

import numpy as np
import pytest

from benchmarks.learning import books


def test_the_middle_of_each_book_is_read():
    texts = [np.arange(1, 11), np.arange(11, 41)]
    assert books.middles(texts, 8).tolist() == [4, 5, 6, 7, 24, 25, 26, 27]


def test_differences_are_paired_by_window():
    first = [{"bits": [1.0, 3.0], "seconds": 1.0}, {"bits": [2.0, 4.0], "seconds": 1.0}]
    other = [{"bits": [1.5, 3.5], "seconds": 2.0}, {"bits": [2.7, 4.7], "seconds": 4.0}]
    line = books.row("other", other, first)
    # The windows differ by two bits, and the models by the same in each of them.
    assert "3.100  +0.600 ± 0.000 (+0.500, +0.700)  3 s" in line


def test_the_same_bytes_are_hidden_from_each_model():
    ids = np.arange(1, 101)[None]
    one, other = (books.masking(7)(3, ids) for _ in range(2))
    assert np.array_equal(one[0], other[0])
    assert np.sum(one[2]) == 15


def test_steps_are_of_all_models_or_of_each():
    flags = ["--data", "novels", "--models", "relu", "exact", "--steps"]
    assert books.parse([*flags, "5"]).steps == [5, 5]
    assert books.parse([*flags, "5", "2"]).steps == [5, 2]
    with pytest.raises(SystemExit):
        books.parse([*flags, "5", "2", "3"])
