"""Frequencies and compressors: the lines that a language model is compared with."""

import bz2
import lzma

import numpy as np
import pytest

from keras_performer.training import compressed_bits_per_byte, unigram_bits

RANDOM = np.random.default_rng(0).integers(0, 256, 3000, "uint8").tobytes()


def test_unigram_bits_are_those_of_raised_counts():
    bits = unigram_bits([3, 0, 12])
    assert (2**-bits).tolist() == pytest.approx([4 / 18, 1 / 18, 13 / 18])
    # Of what the counts are from, its entropy, but for the raising.
    ids = np.random.default_rng(0).choice(3, 10**5, p=[0.5, 0.25, 0.25])
    assert unigram_bits(np.bincount(ids))[ids].mean() == pytest.approx(1.5, abs=0.01)


def test_compressors_cannot_shorten_noise_but_what_they_have_read():
    for name in ("xz", "bz2"):
        assert 8 <= compressed_bits_per_byte(RANDOM, compressor=name) < 9.5
    assert compressed_bits_per_byte(RANDOM, train=RANDOM) < 0.2
    fresh = np.random.default_rng(1).integers(0, 256, 3000, "uint8").tobytes()
    assert compressed_bits_per_byte(RANDOM, train=fresh) > 7.9


def test_sizes_are_those_of_the_compressors():
    text = b"Call me Ishmael. Some years ago, never mind how long precisely, " * 9
    size = len(bz2.compress(text)) * 8 / len(text)
    assert compressed_bits_per_byte(text, compressor="bz2") == size
    size = len(lzma.compress(text, preset=9 | lzma.PRESET_EXTREME)) * 8 / len(text)
    assert compressed_bits_per_byte(text) == pytest.approx(size, rel=0.05)


def test_arguments_out_of_range_are_named():
    with pytest.raises(ValueError, match="empty"):
        compressed_bits_per_byte(b"")
    with pytest.raises(ValueError, match="compressor='zip'"):
        compressed_bits_per_byte(b"a", compressor="zip")
    for counts in ([], [[1, 2]], [1, -1]):
        with pytest.raises(ValueError, match="non-negative numbers of shape"):
            unigram_bits(counts)
