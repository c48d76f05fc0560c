"""Hyperbolic and trigonometric features: their laws and closed forms."""

import numpy as np
import pytest
from keras import ops
from kernels import (
    HEAD_DIM,
    draw_pair,
    mean_squared_error,
    scaled,
    softmax_kernel,
)
from tolerances import EXACT_SINE, assert_close, assert_mean

from keras_performer.feature_maps import Hyperbolic, Softmax, Trigonometric
from keras_performer.ops import projections

PAIRS = [draw_pair(seed) for seed in range(4)]
MAPS = [Hyperbolic(), Trigonometric()]
DRAWS = 10_000


def full_features(feature_map, x, projection):
    values, log_weight = feature_map.keys(x, {"projection": projection})
    return ops.convert_to_numpy(values * ops.exp(log_weight)[..., None])


def estimates(feature_map, draw, query, key, num_features):
    """Independent estimates of the kernel, from `num_features` rows each."""
    rows = draw(0, DRAWS * HEAD_DIM, HEAD_DIM).reshape(DRAWS, HEAD_DIM, HEAD_DIM)
    rows = rows[:, :num_features].reshape(-1, HEAD_DIM).astype("float64")
    queries, keys = (full_features(feature_map, x[None], rows) for x in (query, key))
    terms = (queries * keys * len(rows)).reshape(2, DRAWS, num_features)
    return terms.sum(axis=0).mean(axis=1)


def closed_form(feature_map, query, key, num_features):
    """Mean squared error for independent rows: lemma 2 of arXiv 2009.14794."""
    x, y = scaled(query), scaled(key)
    total, difference = np.sum((x + y) ** 2), np.sum((x - y) ** 2)
    if isinstance(feature_map, Hyperbolic):
        positive = mean_squared_error(query, key, num_features)
        return (1 - np.exp(-total)) / 2 * positive
    kernel = softmax_kernel(query, key)
    spread = (1 - np.exp(-difference)) ** 2
    return np.exp(total) * kernel**-2 * spread / (2 * num_features)


@pytest.mark.parametrize("num_features", [1, HEAD_DIM])
@pytest.mark.parametrize("draw", [projections.gaussian, projections.orthogonal])
@pytest.mark.parametrize("pair", PAIRS, ids=range(4))
@pytest.mark.parametrize("feature_map", MAPS, ids=repr)
def test_unbiased(feature_map, pair, draw, num_features):
    samples = estimates(feature_map, draw, *pair, num_features)
    assert_mean(samples, softmax_kernel(*pair))


@pytest.mark.parametrize("num_features", [1, HEAD_DIM])
@pytest.mark.parametrize("pair", PAIRS, ids=range(4))
@pytest.mark.parametrize("feature_map", MAPS, ids=repr)
def test_mean_squared_error_of_independent_rows(feature_map, pair, num_features):
    samples = estimates(feature_map, projections.gaussian, *pair, num_features)
    errors = (samples - softmax_kernel(*pair)) ** 2
    assert_mean(errors, closed_form(feature_map, *pair, num_features))


@pytest.mark.parametrize("pair", PAIRS, ids=range(4))
def test_orthogonal_rows_lower_the_error_of_hyperbolic_features(pair):
    samples = estimates(Hyperbolic(), projections.orthogonal, *pair, HEAD_DIM)
    error = np.mean((samples - softmax_kernel(*pair)) ** 2)
    assert error < closed_form(Hyperbolic(), *pair, HEAD_DIM)


def test_trigonometric_features_are_exact_where_query_and_key_are_equal():
    query, _ = PAIRS[0]
    samples = estimates(Trigonometric(), projections.gaussian, query, query, 1)
    assert_close(samples, np.full(DRAWS, softmax_kernel(query, query)), EXACT_SINE)


def test_hyperbolic_features_are_those_of_both_signs():
    x = np.random.default_rng(0).standard_normal((3, 5))
    rows = projections.orthogonal(0, 11, 5).astype("float64")
    both = full_features(Softmax(), x, np.concatenate([rows, -rows]))
    assert_close(full_features(Hyperbolic(), x, rows), both, "float64")
    assert both.min() > 0


@pytest.mark.parametrize("scale", [1, 100, 1e10])
@pytest.mark.parametrize("feature_map", MAPS, ids=repr)
def test_features_are_bounded_and_their_weight_is_apart(feature_map, scale):
    x = (scale * np.random.default_rng(0).standard_normal((50, 16))).astype("float32")
    parameters = {"projection": projections.orthogonal(0, 11, 16)}
    values, log_weight = feature_map.queries(x, parameters)
    values, log_weight = map(ops.convert_to_numpy, (values, log_weight))
    assert values.shape == (50, feature_map.size(16, parameters)) == (50, 22)
    assert np.all(np.isfinite(log_weight)) and np.max(np.abs(values)) <= 1
