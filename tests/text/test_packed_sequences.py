"""Sequences of unequal lengths, packed into rows."""

import numpy as np
import pytest

from keras_performer.text import PackedSequences


def distinct_sequences(lengths):
    """Sequences of which no two share an id."""
    ids = np.arange(1, sum(lengths) + 1)
    return np.split(ids, np.cumsum(lengths)[:-1])


def segments_of(row):
    """The segments of a row; checks that padding is at the end alone."""
    token_ids, segment_ids = row["token_ids"], row["segment_ids"]
    assert token_ids.dtype == segment_ids.dtype == np.int32
    used = np.count_nonzero(segment_ids)
    assert not segment_ids[used:].any() and not token_ids[used:].any()
    assert token_ids[:used].all()
    count = segment_ids.max()
    assert np.all(np.diff(segment_ids[:used]) >= 0)
    assert set(segment_ids[:used]) == set(range(1, count + 1))
    return [token_ids[segment_ids == i + 1].tolist() for i in range(count)]


@pytest.mark.parametrize("context_length", [1, 2, 7, 16, 40])
def test_every_sequence_is_there_once_and_whole_where_it_fits(context_length):
    lengths = np.random.default_rng(0).integers(1, 40, 200)
    sequences = distinct_sequences(lengths)
    rows = PackedSequences(sequences, context_length)
    found = sorted(segment for row in rows for segment in segments_of(row))
    expected = [
        sequence[start : start + context_length].tolist()
        for sequence in sequences
        for start in range(0, len(sequence), context_length)
    ]
    assert found == expected
    assert all(row["token_ids"].shape == (context_length,) for row in rows)


def test_rows_are_hardly_padded():
    # As proteins are distributed: many short ones, few long.
    lengths = np.random.default_rng(1).lognormal(5.7, 0.7, 3000).astype(int) + 1
    rows = PackedSequences(distinct_sequences(lengths), 1024)
    assert rows.padding_share < 0.002
    alone = 1 - lengths.clip(max=1024).mean() / 1024
    assert alone > 0.5, "without packing half of it would be padding"


def test_the_share_of_padding_is_that_of_the_rows():
    rows = PackedSequences(distinct_sequences([5, 4, 4, 3, 9]), 7)
    padding = np.mean([row["token_ids"] == 0 for row in rows])
    assert 0 < rows.padding_share == pytest.approx(padding)


def test_a_sequence_goes_where_it_leaves_the_least_room():
    # Of the rows with 7 and 6 the 3 fills the first; in the other one two 2 would not
    # both have room.
    rows = PackedSequences(distinct_sequences([3, 7, 2, 6, 2]), 10)
    assert len(rows) == 2 and rows.padding_share == 0
    lengths = sorted(sorted(map(len, segments_of(row))) for row in rows)
    assert lengths == [[2, 2, 6], [3, 7]]


def test_takes_lists_and_arrays_of_any_integers():
    sequences = [[1, 2], np.array([3], np.uint8), np.array([70_000], ">i8")]
    [row] = PackedSequences(sequences, 4)
    assert row["token_ids"].tolist() == [1, 2, 3, 70_000]
    rows = np.array([[1, 2], [3, 4]], np.uint16)
    assert len(PackedSequences(rows, 2)) == 2


def test_indices_are_those_of_a_sequence():
    rows = PackedSequences([[1, 2], [3, 4], [5]], 2)
    assert rows[-1]["token_ids"].tolist() == rows[2]["token_ids"].tolist()
    for index in (3, -4):
        with pytest.raises(IndexError, match=f"3 rows. Received: index={index}"):
            rows[index]
    with pytest.raises(TypeError):
        rows[1.0]


def test_no_sequences_and_empty_ones_are_refused():
    with pytest.raises(ValueError, match="sequences is empty"):
        PackedSequences([], 4)
    with pytest.raises(ValueError, match=r"sequences\[1\] is empty.*leave it out"):
        PackedSequences([[1], [], [2], []], 4)


@pytest.mark.parametrize("token_id", [0, -1, 9])
@pytest.mark.parametrize(("index", "position"), [(0, 0), (0, 2), (1, 0), (2, 1)])
def test_ids_out_of_range_are_refused_with_their_place(token_id, index, position):
    sequences = [[1, 2, 3], [8], [4, 5]]
    sequences[index][position] = token_id
    message = rf"sequences\[{index}\] has the id {token_id} at position {position}\."
    with pytest.raises(ValueError, match=message):
        PackedSequences(sequences, 4, vocabulary_size=9)


@pytest.mark.parametrize("sequence", [[[1, 2]], [1.5], ["a"], 3])
def test_what_is_no_row_of_integers_is_refused(sequence):
    with pytest.raises(ValueError, match=r"sequences\[1\] has shape .* 1-D array"):
        PackedSequences([[1], sequence], 4)


@pytest.mark.parametrize("value", [0, -1, 2.0, "8", True])
def test_sizes_that_are_none_are_refused(value):
    with pytest.raises(ValueError, match=f"context_length={value!r} was passed"):
        PackedSequences([[1]], value)
    with pytest.raises(ValueError, match=f"vocabulary_size={value!r} was passed"):
        PackedSequences([[1]], 2, vocabulary_size=value)
