"""Trigonometric features: their laws and their closed form."""

import numpy as np
import pytest
from kernels import HEAD_DIM, softmax_kernel
from tolerances import EXACT_SINE, assert_close
from two_sided import (
    DRAWS,
    PAIRS,
    assert_bounded_with_their_weight_apart,
    assert_error_of_independent_rows,
    assert_unbiased,
    distances,
    estimates,
)

from keras_performer.feature_maps import Trigonometric
from keras_performer.ops import projections


def closed_form(query, key, num_features):
    """Mean squared error for independent rows: lemma 2 of arXiv 2009.14794."""
    total, difference = distances(query, key)
    kernel = softmax_kernel(query, key)
    spread = (1 - np.exp(-difference)) ** 2
    return np.exp(total) * kernel**-2 * spread / (2 * num_features)


@pytest.mark.parametrize("num_features", [1, HEAD_DIM])
@pytest.mark.parametrize("draw", [projections.gaussian, projections.orthogonal])
@pytest.mark.parametrize("pair", PAIRS, ids=range(4))
def test_unbiased(pair, draw, num_features):
    assert_unbiased(Trigonometric(), pair, draw, num_features)


@pytest.mark.parametrize("num_features", [1, HEAD_DIM])
@pytest.mark.parametrize("pair", PAIRS, ids=range(4))
def test_mean_squared_error_of_independent_rows(pair, num_features):
    assert_error_of_independent_rows(Trigonometric(), pair, num_features, closed_form)


def test_features_are_exact_where_query_and_key_are_equal():
    query, _ = PAIRS[0]
    samples = estimates(Trigonometric(), projections.gaussian, query, query, 1)
    assert_close(samples, np.full(DRAWS, softmax_kernel(query, query)), EXACT_SINE)


@pytest.mark.parametrize("scale", [1, 100, 1e10])
def test_features_are_bounded_and_their_weight_is_apart(scale):
    assert_bounded_with_their_weight_apart(Trigonometric(), scale)
