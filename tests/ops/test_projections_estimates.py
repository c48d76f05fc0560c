"""Projections as estimators: the softmax kernel by positive features, and its error."""

import functools
import math

import numpy as np
import pytest
from tolerances import STANDARD_ERRORS, assert_mean

from keras_performer.ops import projections

HEAD_DIM = NUM_FEATURES = 16
DRAWS = 10_000
UNBIASED = ["gaussian", "orthogonal", "simplex", "givens"]
LENGTHS = [0.25, 0.5, 1.0, 1.5]  # ‖x + y‖


@functools.cache
def blocks(name):
    rows = projections.get(name)(5, DRAWS * NUM_FEATURES, HEAD_DIM)
    return rows.reshape(DRAWS, NUM_FEATURES, HEAD_DIM)


def estimates(name, length, num_features=NUM_FEATURES):
    """φ(x)·φ(y) / exp(x·y) with x + y along each axis in turn: (draws, D).

    In `exp(−(‖x‖² + ‖y‖²)/2) mean exp(ω·(x + y))`, the norms and x·y make up ‖x + y‖².
    """
    logits = length * blocks(name)[:, :num_features]
    return np.mean(np.exp(logits - length**2 / 2), axis=1, dtype="float64")


def squared_errors(name, length):
    """Averaged over the axes: one independent sample a draw."""
    return np.mean((estimates(name, length) - 1) ** 2, axis=1)


def independent_error(length):
    """Lemma 2 of arXiv 2009.14794, relative to the square of the kernel."""
    return math.expm1(length**2) / NUM_FEATURES


def assert_below(samples, bound):
    """Asserts an expectation's upper bound, clear of the standard errors."""
    error = np.std(samples) / math.sqrt(len(samples))
    assert np.mean(samples) + STANDARD_ERRORS * error < bound


@pytest.mark.cases("1-0.25-gaussian", "16-1.5-orthogonal")  # the fastest draws
@pytest.mark.parametrize("name", UNBIASED)
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("num_features", [1, 5, NUM_FEATURES])
def test_unbiased(name, length, num_features):
    assert_mean(estimates(name, length, num_features).mean(axis=1), 1)


@pytest.mark.parametrize("length", LENGTHS)
def test_hadamard_is_biased_by_less_than_documented(length):
    samples = estimates("hadamard", length).mean(axis=1)
    error = STANDARD_ERRORS * np.std(samples) / math.sqrt(DRAWS)
    assert abs(np.mean(samples) - 1) < length**4 / (3 * HEAD_DIM**2) + error


@pytest.mark.parametrize("length", LENGTHS)
def test_independent_rows_have_the_closed_form_error(length):
    assert_mean(squared_errors("gaussian", length), independent_error(length))


@pytest.mark.cases("orthogonal-0.25", "hadamard-1.5")
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("name", ["orthogonal", "hadamard", "givens"])
def test_orthogonal_rows_have_less_error_than_independent_ones(name, length):
    assert_below(squared_errors(name, length), independent_error(length))


@pytest.mark.parametrize(
    ("length", "ratio"), [(0.25, 20), (0.5, 10), (1.0, 2.5), (1.5, 1.1)]
)
def test_a_simplex_has_less_error_than_orthogonal_rows(length, ratio):
    # The same seed gives both the same rotations and norms: paired samples.
    excess = ratio * squared_errors("simplex", length)
    assert_below(excess - squared_errors("orthogonal", length), 0)
