"""Bits of tokens by their logits."""

import numpy as np
import pytest
from logits_table import bits_of

from keras_performer.training.evaluation.token_bits import token_bits


def test_bits_are_those_of_the_softmax():
    rng = np.random.default_rng(0)
    logits, targets = rng.normal(size=(2, 3, 5)), rng.integers(0, 5, (2, 3))
    bits, is_right = token_bits(logits, targets)
    for place in np.ndindex(2, 3):
        expected = bits_of(logits[place], targets[place])
        assert bits[place] == pytest.approx(expected, rel=1e-6)
        assert is_right[place] == (logits[place].argmax() == targets[place])


def test_what_does_not_fit_is_named():
    targets = np.array([[1, 4]])
    with pytest.raises(ValueError, match=r"outputs of shape \(1, 3, 5\)"):
        token_bits(np.zeros((1, 3, 5)), targets)
    with pytest.raises(ValueError, match="The id 4 is beyond"):
        token_bits(np.zeros((1, 2, 4)), targets)
