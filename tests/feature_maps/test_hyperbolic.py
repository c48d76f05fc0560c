"""Hyperbolic features: their laws and their closed form."""

import numpy as np
import pytest
from kernels import HEAD_DIM, mean_squared_error, softmax_kernel
from tolerances import assert_close
from two_sided import (
    PAIRS,
    assert_bounded_with_their_weight_apart,
    assert_error_of_independent_rows,
    assert_unbiased,
    distances,
    estimates,
    full_features,
)

from keras_performer.feature_maps import Hyperbolic, Softmax
from keras_performer.ops import projections


def closed_form(query, key, num_features):
    """Mean squared error for independent rows: section 3 of arXiv 2009.14794."""
    total, _ = distances(query, key)
    positive = mean_squared_error(query, key, num_features)
    return (1 - np.exp(-total)) / 2 * positive


@pytest.mark.parametrize("num_features", [1, HEAD_DIM])
@pytest.mark.parametrize("draw", [projections.gaussian, projections.orthogonal])
@pytest.mark.parametrize("pair", PAIRS, ids=range(4))
def test_unbiased(pair, draw, num_features):
    assert_unbiased(Hyperbolic(), pair, draw, num_features)


@pytest.mark.parametrize("num_features", [1, HEAD_DIM])
@pytest.mark.parametrize("pair", PAIRS, ids=range(4))
def test_mean_squared_error_of_independent_rows(pair, num_features):
    assert_error_of_independent_rows(Hyperbolic(), pair, num_features, closed_form)


@pytest.mark.parametrize("pair", PAIRS, ids=range(4))
def test_orthogonal_rows_lower_the_error(pair):
    samples = estimates(Hyperbolic(), projections.orthogonal, *pair, HEAD_DIM)
    error = np.mean((samples - softmax_kernel(*pair)) ** 2)
    assert error < closed_form(*pair, HEAD_DIM)


def test_features_are_those_of_both_signs():
    x = np.random.default_rng(0).standard_normal((3, 5))
    rows = projections.orthogonal(0, 11, 5).astype("float64")
    both = full_features(Softmax(), x, np.concatenate([rows, -rows]))
    assert_close(full_features(Hyperbolic(), x, rows), both, "float64")
    assert both.min() > 0


@pytest.mark.parametrize("scale", [1, 100, 1e10])
def test_features_are_bounded_and_their_weight_is_apart(scale):
    assert_bounded_with_their_weight_apart(Hyperbolic(), scale)
