"""Structured and simplex projections: what is exactly true of their directions."""

import importlib
import itertools
import math

import numpy as np
import pytest
from tolerances import STANDARD_ERRORS, assert_mean

from keras_performer.ops import projections
from keras_performer.ops.projections import givens, hadamard, simplex

NUMBER = 2000  # blocks


def units(draw, number, size, seed=0):
    """The directions of a number of blocks: (number, D, D)."""
    rows = draw(seed, number * size, size).astype("float64")
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows.reshape(number, size, size)


def uniform_fourth_moment(size):
    return 3 / (size * (size + 2))


@pytest.mark.parametrize("draw", [hadamard, givens, simplex])
@pytest.mark.parametrize("size", [3, 6])
def test_rows_have_mean_zero_and_the_covariance_of_uniform_ones(draw, size):
    blocks = units(draw, NUMBER, size)
    for row in (0, -1):
        rows = blocks[:, row]
        assert_mean(rows, 0)
        assert_mean(rows[:, :, None] * rows[:, None, :], np.eye(size) / size)


@pytest.mark.parametrize("draw", [hadamard, givens, simplex])
def test_one_axis_makes_normal_numbers(draw):
    numbers = draw(0, NUMBER, 1)
    assert_mean(numbers, 0)
    assert_mean(numbers.astype("float64") ** 2, 1)
    assert_mean(numbers.astype("float64") ** 4, 3)


@pytest.mark.parametrize("size", [1, 2, 4, 16, 64])
def test_hadamard_directions_are_those_of_sign_matrices(size):
    # Three products of a matrix of ±1 / √D: multiples of D^(-3/2), sums of D² signs.
    multiples = units(hadamard, 3, size) * size**1.5
    assert np.max(np.abs(multiples - np.round(multiples))) < 1e-3
    assert np.max(np.abs(multiples)) <= size**2
    assert np.all(np.round(multiples - multiples.flat[0]) % 2 == 0)


@pytest.mark.parametrize("size", [4, 8])
def test_fourth_moment_of_hadamard_directions(size):
    samples = np.mean(units(hadamard, NUMBER, size) ** 4, axis=(1, 2))
    expected = (3 - (6 * size - 4) / size**2) / size**2
    assert_mean(samples, expected)
    assert expected > uniform_fourth_moment(size) * (1 - 8 / (3 * size**2))
    standard_error = np.std(samples) / math.sqrt(NUMBER)
    assert uniform_fourth_moment(size) - expected > 4 * standard_error


def test_fourth_moments_of_hadamard_directions_of_three_axes():
    # Hartley's matrix from the Fourier transform, and every signed permutation of it.
    fourier = np.fft.fft(np.eye(3)) / math.sqrt(3)
    transform = fourier.real - fourier.imag
    factors = [
        transform[:, order] * signs
        for order in itertools.permutations(range(3))
        for signs in itertools.product((-1, 1), repeat=3)
    ]
    matrices = np.array([a @ b for a in factors for b in factors]) @ transform
    expected = np.mean(matrices**4, axis=(0, 2))  # of each row
    assert np.ptp(expected) > 0.001  # rows differ here, so their order is tested too
    samples = np.mean(units(hadamard, 8 * NUMBER, 3) ** 4, axis=2)
    assert_mean(samples, expected)


@pytest.mark.parametrize("size", [5, 6, 12, 24, 48])
def test_other_sizes_are_no_farther_from_uniform_than_powers_of_two(size):
    samples = np.mean(units(hadamard, 1000, size) ** 4, axis=(1, 2))
    uniform = uniform_fourth_moment(size)
    spread = STANDARD_ERRORS * np.std(samples) / math.sqrt(len(samples))
    assert abs(np.mean(samples) - uniform) < uniform * 8 / (3 * size**2) + spread


@pytest.mark.parametrize("size", [5, 8])
def test_givens_rounds_near_the_uniform_law_as_documented(size, monkeypatch):
    # By name: the package's attribute `givens` is the function, not its module.
    module = importlib.import_module("keras_performer.ops.projections.givens")
    factor = 3 * (size - 2) / (4 * (size - 1))
    if size % 2:
        factor = (3 * size - 2) / (4 * size)
    limit = 3 / (size + 2)
    for rounds in (1, 2):
        monkeypatch.setattr(module, "_ROUNDS_PER_DOUBLING", rounds)
        samples = np.mean(np.sum(units(givens, NUMBER, size) ** 4, axis=2), axis=1)
        steps = rounds * 3  # 5 and 8 lie between four and eight: three doublings
        assert_mean(samples, limit + (1 - limit) * factor**steps)


@pytest.mark.parametrize("size", [3, 8, 33, 64, 256])
def test_givens_is_as_uniform_as_documented(size):
    module = importlib.import_module("keras_performer.ops.projections.givens")
    factor = 3 * (size - 2) / (4 * (size - 1))
    if size % 2:
        factor = (3 * size - 2) / (4 * size)
    rounds = module._ROUNDS_PER_DOUBLING * math.ceil(math.log2(size))
    assert (size - 1) / 3 * factor**rounds < 1.1e-3


@pytest.mark.parametrize("size", [2, 3, 5, 8, 16])
def test_simplex_directions(size):
    for block in units(simplex, 3, size):
        gram = block @ block.T
        expected = (size * np.eye(size) - 1) / (size - 1)
        assert np.max(np.abs(gram - expected)) < 1e-6
        assert np.max(np.abs(block.sum(axis=0))) < 1e-6
        published = published_simplex(size)
        assert np.max(np.abs(gram - published @ published.T)) < 1e-6


def published_simplex(size):
    """The vertices as the paper of the method has them, in the first D - 1 axes."""
    ones = np.append(np.ones(size - 1), 0)
    vertices = math.sqrt(size / (size - 1)) * np.eye(size)
    vertices -= (math.sqrt(size) + 1) / (size - 1) ** 1.5 * ones
    vertices[-1] = ones / math.sqrt(size - 1)
    return vertices


def test_the_rotation_of_a_simplex_is_the_orthogonal_projections():
    # Same seed, same uniform matrix Q and norms: only the coupling differs.
    size = 5
    q, vertices = units(projections.orthogonal, 2, size), units(simplex, 2, size)
    coupling = np.eye(size) - np.full((size, size), 1 / size)
    assert np.allclose(vertices, math.sqrt(5 / 4) * coupling @ q, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("num_features", "last"), [(5, 5), (8, 1), (9, 2), (12, 5)])
def test_a_partial_block_is_a_smaller_simplex(num_features, last):
    rows = simplex(0, num_features, 7).astype("float64")[-last:]
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    expected = np.eye(last) if last == 1 else (last * np.eye(last) - 1) / (last - 1)
    assert np.max(np.abs(rows @ rows.T - expected)) < 1e-6


def test_simplex_rows_are_uniform_alone_and_in_pairs():
    size, cosine = 4, -1 / 3
    rows = units(simplex, NUMBER, size)
    assert_mean(rows, 0)
    assert_mean(rows**2, 1 / size)
    assert_mean(rows**4, uniform_fourth_moment(size))
    first, second = rows[:, 0], rows[:, -1]
    assert_mean(first * second, cosine / size)
    expected = (1 + 2 * cosine**2) / (size * (size + 2))
    assert_mean(first**2 * second**2, expected)


@pytest.mark.parametrize(
    ("draw", "last_row"),
    [
        (hadamard, [0.4180878, -0.2306494, 0.2813198, -0.3361014, -1.1799526]),
        (givens, [-0.5153874, -0.1217343, -0.1017838, 1.0882115, 0.5808461]),
        (simplex, [0.1721907, 0.5903443, 0.4532274, 0.9444274, 0.5804099]),
    ],
)
def test_a_seed_draws_the_same_for_ever(draw, last_row):
    assert np.allclose(draw(11, 6, 5)[-1], last_row, rtol=0, atol=1e-6)
