"""FAVOR++: its one number A for each head, and the error that it leaves."""

import math

import numpy as np
import pytest
from dense_maps import adapted, mean_log_second_moment, skewed, terms
from kernels import DRAWS, HEAD_DIM, draw_pair, scaled, softmax_kernel
from tolerances import assert_close, assert_mean

from keras_performer.feature_maps import FavorPlusPlus, Moments
from keras_performer.ops import projections

ROWS = projections.gaussian(0, DRAWS, HEAD_DIM)


def mean_square_of_sums(queries, keys):
    """σ: the mean of ‖x + y‖² over all pairs of positions, for each head."""
    x, y = np.float64(queries[0]) / HEAD_DIM**0.25, np.float64(keys[0]) / HEAD_DIM**0.25
    sums = x[:, None] + y[None]
    return np.mean(np.sum(sums**2, axis=-1), axis=(0, 1))


@pytest.mark.parametrize("size", [1e-3, 0.1, 1, 10])
def test_the_best_a_in_the_form_of_the_paper(size):
    queries, keys = (size * x for x in skewed(heads=3))
    sigma, dim = mean_square_of_sums(queries, keys), HEAD_DIM
    rho = np.sqrt((2 * sigma + dim) ** 2 + 8 * dim * sigma) - 2 * sigma - dim
    rho = rho / (4 * sigma)
    expected = np.repeat((1 - 1 / rho)[:, None] / 8, dim, axis=1)
    parameters = adapted(FavorPlusPlus(), ROWS, queries, keys)
    # The form of the paper loses digits where A is nearly zero.
    error = np.abs(parameters["curvature"] - expected)
    assert np.all(error <= 5e-5 * np.abs(expected) + 1e-7)
    assert len(np.unique(parameters["curvature"][:, 0])) == 3


@pytest.mark.parametrize("size", [0.1, 1, 3])
def test_no_other_a_has_a_smaller_log_variance(size):
    queries, keys = (size * x for x in skewed())
    parameters = adapted(FavorPlusPlus(), ROWS, queries, keys)

    def spread(factor):
        curvature = parameters["curvature"] * factor
        return mean_log_second_moment(
            parameters | {"curvature": curvature}, queries, keys
        )

    best = spread(1)
    assert best < spread(0) - 1e-3 * min(1, size) ** 2
    steps = [spread(factor) - best for factor in (0.9, 1.1, 0.99, 1.01)]
    assert min(steps) > 0
    # The parabola of a minimum: a tenth of the step, a hundredth of the loss.
    assert np.mean(steps[2:]) < 0.02 * np.mean(steps[:2])


@pytest.mark.parametrize("seed", range(3))
def test_the_closed_form_of_the_mean_squared_error(seed):
    query, key = draw_pair(seed)
    parameters = adapted(FavorPlusPlus(), ROWS, *(0.5 * x for x in skewed()))
    a, dim = float(parameters["curvature"][0, 0]), HEAD_DIM
    x, y = scaled(query), scaled(key)
    exponent = 2 * (1 - 4 * a) / (1 - 8 * a) * np.sum((x + y) ** 2) - x @ x - y @ y
    factor = (1 - 4 * a) ** dim * (1 - 8 * a) ** (-dim / 2)
    kernel = softmax_kernel(query, key)
    expected = factor * math.exp(exponent) - kernel**2
    samples = terms(FavorPlusPlus(), parameters, query, key)
    assert_mean((samples - kernel) ** 2, expected)


def test_orthogonal_rows_lower_the_error():
    query, key = draw_pair()
    data, errors = [0.3 * x for x in skewed()], []
    for draw in (projections.gaussian, projections.orthogonal):
        parameters = adapted(FavorPlusPlus(), draw(0, 8 * DRAWS, HEAD_DIM), *data)
        samples = terms(FavorPlusPlus(), parameters, query, key)
        means = samples.reshape(DRAWS, HEAD_DIM).mean(axis=1)
        errors.append(np.mean((means - softmax_kernel(query, key)) ** 2))
    assert errors[1] < 0.95 * errors[0], errors


def test_features_are_bounded_over_all_rows():
    """`exp(A ‖ω‖² + √(1 − 4A) ω·x)` has a maximum in ω; without A it has none."""
    query, key = draw_pair()
    parameters = adapted(FavorPlusPlus(), ROWS, *skewed())
    far = np.outer(np.linspace(-40, 40, 81), query / np.linalg.norm(query))
    samples = terms(FavorPlusPlus(), parameters | {"projection": far}, query, key)
    assert np.argmax(samples) not in (0, 80)


def test_moments_are_all_that_it_takes():
    queries, keys = skewed(heads=2)
    moments = Moments.of(queries, keys)
    shuffled = Moments.of(queries[:, ::-1], keys[:, ::-1])
    curvatures = [
        np.asarray(FavorPlusPlus().adapted_parameters(each)["curvature"])
        for each in (moments, shuffled)
    ]
    assert_close(*curvatures)
