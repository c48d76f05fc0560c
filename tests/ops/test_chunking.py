"""Cutting sequences into chunks, and putting them together again."""

import numpy as np
import pytest
from gradients import to_numpy

from keras_performer.ops import chunking


@pytest.mark.parametrize("multiple", [1, 4])
@pytest.mark.parametrize("largest", [4, 64, 1024])
@pytest.mark.parametrize("length", [0, 1, 4, 5, 63, 64, 1024, 1025, 9973])
def test_chunks_cover_the_sequence(length, largest, multiple):
    number, size = chunking.chunk_length(length, largest, multiple)
    assert number >= 1
    assert size % multiple == 0
    assert multiple <= size <= largest
    assert number * size >= length
    # No chunk more than are needed, and little padding beside.
    assert number == max(1, -(-length // largest))
    assert number * size - length < max(1, number) * multiple + (length == 0)


@pytest.mark.parametrize("length", [0, 1, 5, 6, 13])
def test_split_pads_with_zeros(length):
    x = np.random.default_rng(0).standard_normal((2, length, 3))
    lengths = chunking.chunk_length(length, 4)
    chunks = to_numpy(chunking.split(x, lengths))
    number, size = lengths
    assert chunks.shape == (number, 2, size, 3)
    flat = chunks.swapaxes(0, 1).reshape(2, -1, 3)
    assert np.array_equal(flat[:, :length], x)
    assert np.all(flat[:, length:] == 0)


@pytest.mark.parametrize("key_heads", [1, 3, 6])
@pytest.mark.parametrize("length", [0, 1, 5, 6, 13])
@pytest.mark.parametrize("inner", [False, True])
def test_join_heads_undoes_split_heads(length, key_heads, inner):
    x = np.random.default_rng(0).standard_normal((2, length, 6, 5))
    lengths = (
        chunking.inner_lengths(length, 2, 8)
        if inner
        else chunking.chunk_length(length, 4)
    )
    chunks = chunking.split_heads(x, lengths, key_heads)
    groups, size = 6 // key_heads, lengths[-1]
    expected = (lengths[0], 2, key_heads, *lengths[1:-1], groups * size, 5)
    assert tuple(chunks.shape) == expected
    for position in range(length):
        which = np.unravel_index(position, lengths)
        for head in range(6):
            at = (which[0], slice(None), head // groups, *which[1:-1])
            at = (*at, head % groups * size + which[-1])
            assert np.array_equal(to_numpy(chunks)[at], x[:, position, head])
    joined = chunking.join_heads(chunks, lengths, length, 6)
    assert np.array_equal(to_numpy(joined), x)


@pytest.mark.parametrize("length, masked", [(8, False), (7, True), (9, True)])
def test_a_mask_is_made_where_chunks_are_filled(length, masked):
    x = np.ones((2, length, 3, 5), "float32")
    chunks = chunking.split_keys(x, x, None, chunking.chunk_length(length, 4, 2))
    assert len(chunks) == 2 + masked
    if masked:
        counted = to_numpy(chunks[2]).swapaxes(0, 1).reshape(2, -1)
        assert np.all(counted[:, :length] == 1) and np.all(counted[:, length:] == 0)
