"""Arguments of generation: rows, their padding, stop tokens and lengths."""

import numpy as np
import pytest

from keras_performer.models import generation_arguments as arguments

ROWS = [[5, 3, 2], [7], [1, 1, 1, 1, 1]]


def test_padding_is_left_out_wherever_it_stands():
    padded = np.array([[0, 5, 0, 3], [7, 0, 0, 0]])
    rows = arguments.token_rows(padded, 10, "prompt_ids")
    assert [row.tolist() for row in rows] == [[5, 3], [7]]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "`prompt_ids` must have at least one row"),
        ([[5], [0]], r"nothing but padding in rows \[1\] of `prompt_ids`"),
        ([5, 3], "row 0 of shape"),
        ([[5.0]], "dtype float64"),
        ([[5], [10]], "less than 10.*Received: 10 in row 1"),
    ],
    ids=str,
)
def test_rows_that_are_refused(rows, message):
    with pytest.raises(ValueError, match=message):
        arguments.token_rows(rows, 10, "prompt_ids")


@pytest.mark.parametrize(
    ("pad", "length"), [(arguments.left_padded, 5), (arguments.right_padded, 8)]
)
def test_padded_rows_are_the_rows(pad, length):
    padded = pad(ROWS)
    assert (padded.shape, padded.dtype) == ((3, length), "int32")
    assert [row[row != 0].tolist() for row in padded] == ROWS
    edge = 0 if pad is arguments.right_padded else -1
    assert np.all(padded[:, edge] != 0)


@pytest.mark.parametrize("longest", [5, 6])
def test_a_padded_source_is_not_longer_than_the_learned_positions(longest):
    assert arguments.right_padded(ROWS, longest).shape == (3, longest)
    with pytest.raises(ValueError, match="a source of 5 tokens, max_sequence_length=4"):
        arguments.right_padded(ROWS, 4)


def test_stop_tokens_are_sorted_and_once():
    assert arguments.stop_tokens(np.array([7, 3, 7]), 10) == (3, 7)
    assert arguments.stop_tokens(None, 10) == ()
    for wrong in ([0], [10], 5, [2.0]):
        with pytest.raises(ValueError, match="from 1 to 9"):
            arguments.stop_tokens(wrong, 10)


def test_the_last_new_token_needs_no_position():
    arguments.check_length(3, 4, max_sequence_length=6)
    arguments.check_length(3, 400, max_sequence_length=None)
    with pytest.raises(ValueError, match="a prompt of 3 tokens, max_new_tokens=5"):
        arguments.check_length(3, 5, max_sequence_length=6)
