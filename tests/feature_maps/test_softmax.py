"""FAVOR+: its laws, each with the closed form it is held to."""

import numpy as np
import pytest
from compilers import wrappers
from keras import ops
from kernels import (
    DRAWS,
    HEAD_DIM,
    draw_pair,
    estimates,
    mean_squared_error,
    orthogonal_gain,
    regularized_kernel,
    softmax_kernel,
)
from tolerances import EXACT, STANDARD_ERRORS, assert_close, assert_mean

from keras_performer.feature_maps import Softmax
from keras_performer.ops import projections

PAIRS = [draw_pair(seed) for seed in range(4)]


def features(x, num_features=11, dtype="float32", seed=0):
    """Features of keys as one array, weights multiplied in."""
    projection = projections.orthogonal(seed, num_features, x.shape[-1]).astype(dtype)
    values, log_weight = Softmax().keys(x.astype(dtype), {"projection": projection})
    return ops.convert_to_numpy(values * ops.exp(log_weight)[..., None])


def draw(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def test_the_formula():
    x = draw(3, 5)
    rows = projections.orthogonal(0, 11, 5).astype("float64")
    scaled = x / 5**0.25
    norms = np.sum(scaled**2, axis=-1, keepdims=True)
    expected = np.exp(scaled @ rows.T - norms / 2) / np.sqrt(11)
    assert_close(features(x, dtype="float64"), expected, EXACT)


@pytest.mark.parametrize("num_features", [1, 3, HEAD_DIM])
@pytest.mark.parametrize("draw", [projections.gaussian, projections.orthogonal])
@pytest.mark.parametrize("pair", PAIRS, ids=range(4))
def test_unbiased(pair, draw, num_features):
    samples = estimates(Softmax(), draw, *pair, num_features)
    assert_mean(samples, softmax_kernel(*pair))


@pytest.mark.parametrize("num_features", [1, HEAD_DIM])
@pytest.mark.parametrize("pair", PAIRS, ids=range(4))
def test_mean_squared_error_of_independent_rows(pair, num_features):
    samples = estimates(Softmax(), projections.gaussian, *pair, num_features)
    errors = (samples - softmax_kernel(*pair)) ** 2
    assert_mean(errors, mean_squared_error(*pair, num_features))


@pytest.mark.parametrize("num_features", [2, HEAD_DIM])
@pytest.mark.parametrize("pair", PAIRS, ids=range(4))
def test_orthogonal_rows_lower_the_error(pair, num_features):
    samples = estimates(Softmax(), projections.orthogonal, *pair, num_features)
    errors = (samples - softmax_kernel(*pair)) ** 2
    standard_error = np.std(errors) / np.sqrt(DRAWS)
    gain = orthogonal_gain(*pair, num_features)
    bound = mean_squared_error(*pair, num_features) - gain
    assert np.mean(errors) <= bound + STANDARD_ERRORS * standard_error


def test_orthogonal_rows_lower_the_error_strictly():
    pair = PAIRS[0]
    samples = estimates(Softmax(), projections.orthogonal, *pair)
    errors = (samples - softmax_kernel(*pair)) ** 2
    standard_error = np.std(errors) / np.sqrt(DRAWS)
    independent = mean_squared_error(*pair, HEAD_DIM)
    assert np.mean(errors) + STANDARD_ERRORS * standard_error < independent


@pytest.mark.parametrize("pair", PAIRS, ids=range(4))
def test_regularized_norms_estimate_a_lower_bound(pair):
    samples = estimates(Softmax(), projections.regularized_orthogonal, *pair)
    assert_mean(samples, regularized_kernel(*pair))
    assert regularized_kernel(*pair) < softmax_kernel(*pair)


def test_another_draw_changes_the_features_and_not_the_kernel():
    pair = PAIRS[0]
    draws = [
        estimates(Softmax(), projections.orthogonal, *pair, seed=s) for s in (1, 2)
    ]
    assert np.min(np.abs(draws[0] - draws[1])) > 0
    for samples in draws:
        assert_mean(samples, softmax_kernel(*pair))
    x = draw(3, 5)
    assert np.min(np.abs(features(x, seed=1) - features(x, seed=2))) > 0


@pytest.mark.parametrize("scale", [0, 1, 10])
def test_positive(scale):
    assert np.min(features(scale * draw(50, 16))) >= 0
    assert np.min(features(0.3 * scale * draw(50, 16))) > 0


@pytest.mark.parametrize("scale", [1, 100, 1e10])
def test_features_are_bounded_and_their_weight_is_apart(scale):
    x = (scale * draw(50, 16)).astype("float32")
    parameters = {"projection": projections.orthogonal(0, 11, 16)}
    for method in (Softmax().queries, Softmax().keys):
        values, log_weight = map(ops.convert_to_numpy, method(x, parameters))
        assert values.shape == (50, 11)
        assert log_weight.shape == (50,)
        assert np.all(np.isfinite(values)) and np.all(np.isfinite(log_weight))
        assert np.all(values.max(axis=-1) <= 1) and np.all(values.max(axis=-1) > 0.09)


def test_queries_are_mapped_as_keys_are():
    x = draw(3, 5)
    parameters = {"projection": projections.orthogonal(0, 11, 5).astype("float64")}
    queries, keys = (
        ops.convert_to_numpy(values * ops.exp(log_weight)[..., None])
        for values, log_weight in (
            method(x, parameters) for method in (Softmax().queries, Softmax().keys)
        )
    )
    assert_close(queries, keys, "float64")


def test_no_position_has_an_influence_on_another():
    x = draw(2, 3, 7, 5)
    before = features(x)
    x[:, :, 3:] *= 1e3
    x[1] *= 1e3
    assert np.array_equal(before[0, :, :3], features(x)[0, :, :3])


def test_size():
    parameters = {"projection": np.zeros((11, 5))}
    assert Softmax().size(5, parameters) == 11
    assert features(draw(3, 5)).shape == (3, 11)


@pytest.mark.backends
def test_graph_and_compiled_are_as_eager():
    x = draw(3, 5).astype("float32")
    projection = projections.orthogonal(0, 11, 5)

    def function(x, projection):
        return Softmax().keys(x, {"projection": projection})

    eager = [ops.convert_to_numpy(a) for a in function(x, projection)]
    for wrap in wrappers():
        for a, b in zip(wrap(function)(x, projection), eager, strict=True):
            assert_close(ops.convert_to_numpy(a), b)
