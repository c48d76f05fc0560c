"""Random projections: orthogonal, uniform, of the right norms, from a seed alone."""

import math

import keras
import numpy as np
import pytest
from tolerances import assert_mean

from keras_performer.ops import projections

D, M = 7, 17  # two full blocks and a part of one
ORTHOGONAL = [
    projections.orthogonal,
    projections.regularized_orthogonal,
    projections.hadamard,
    projections.givens,
]
KINDS = [projections.gaussian, projections.simplex, *ORTHOGONAL]
OF_NORMAL_NORMS = [
    projections.gaussian,
    projections.orthogonal,
    projections.simplex,
    projections.hadamard,
    projections.givens,
]
HAAR = [projections.orthogonal, projections.givens]


def directions(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def matrices_of(draw, number, size, seed=0):
    rows = draw(seed, number * size, size).astype("float64")
    return directions(rows).reshape(number, size, size)


@pytest.mark.parametrize("draw", KINDS)
@pytest.mark.parametrize(
    "shape", [(M, D), (3, D), (1, 1), (5, 1), (5, 2), (7, 3), (64, 64)]
)
def test_shape_and_dtype(draw, shape):
    rows = draw(0, *shape)
    assert rows.shape == shape
    assert rows.dtype == "float32"
    assert np.all(np.isfinite(rows))


@pytest.mark.parametrize("draw", ORTHOGONAL)
@pytest.mark.parametrize("head_dim", [1, 2, 3, 5, 7, 8, 12, 33, 64])
def test_blocks_are_orthogonal(draw, head_dim):
    rows = directions(draw(0, 2 * head_dim, head_dim).astype("float64"))
    for block in (rows[:head_dim], rows[head_dim:]):
        gram = block @ block.T
        assert np.max(np.abs(gram - np.eye(head_dim))) < 1e-6


@pytest.mark.parametrize("draw", ORTHOGONAL)
def test_partial_blocks_are_orthogonal_and_blocks_differ(draw):
    rows = directions(draw(0, M, D).astype("float64"))
    blocks = [rows[:D], rows[D : 2 * D], rows[2 * D :]]
    for block in blocks:
        gram = block @ block.T
        assert np.max(np.abs(gram - np.eye(len(block)))) < 1e-6
    for i, j in ((0, 1), (0, 2), (1, 2)):
        # Not the same rows in another order or sign either.
        products = np.abs(blocks[i] @ blocks[j].T)
        assert np.max(products) < 0.999


@pytest.mark.parametrize("draw", HAAR)
@pytest.mark.parametrize("size", [2, 3, 4])
def test_rows_are_uniform_on_the_orthogonal_group(draw, size):
    matrices = matrices_of(draw, 2500, size)
    assert_mean(matrices, 0)
    assert_mean(matrices**2, 1 / size)
    assert_mean(matrices**4, 3 / (size * (size + 2)))
    # Without the sign fix after QR the trace's moments are not those of Haar measure.
    traces = np.trace(matrices, axis1=1, axis2=2)
    assert_mean(traces, 0)
    assert_mean(traces**2, 1)
    assert_mean(np.trace(matrices @ matrices, axis1=1, axis2=2), 1)
    assert_mean(np.linalg.det(matrices), 0)


@pytest.mark.cases("orthogonal", "givens")
@pytest.mark.parametrize("draw", HAAR)
def test_haar_moments_do_not_depend_on_the_basis(draw):
    size = 3
    matrices = matrices_of(draw, 2500, size)
    angle = 0.7
    turn = np.array(
        [
            [math.cos(angle), -math.sin(angle), 0],
            [math.sin(angle), math.cos(angle), 0],
            [0, 0, 1],
        ]
    )
    for turned in (matrices @ turn, turn @ matrices):
        traces = np.trace(turned, axis1=1, axis2=2)
        assert_mean(traces, 0)
        assert_mean(traces**2, 1)


@pytest.mark.parametrize("draw", OF_NORMAL_NORMS)
def test_norms_are_those_of_normal_rows(draw):
    norms = np.linalg.norm(draw(0, 20_000, D).astype("float64"), axis=1)
    mean = math.sqrt(2) * math.gamma((D + 1) / 2) / math.gamma(D / 2)
    assert_mean(norms, mean)
    assert_mean(norms**2, D)
    assert_mean(norms**4, D * (D + 2))


@pytest.mark.parametrize("draw", OF_NORMAL_NORMS)
def test_rows_have_the_moments_of_normal_rows(draw):
    drawn = draw(0, 2000 * D, D).astype("float64")
    for row in (0, D - 1):
        # One row of each block: rows of the same block depend on each other.
        rows = drawn[row::D]
        assert_mean(rows, 0)
        assert_mean(rows**2, 1)
        assert_mean(rows**4, 3)
        assert_mean(rows[:, 0] * rows[:, 1], 0)


def test_regularized_norms_are_fixed():
    rows = projections.regularized_orthogonal(0, M, D)
    norms = np.linalg.norm(rows.astype("float64"), axis=1)
    assert np.max(np.abs(norms - math.sqrt(D))) < 1e-6


@pytest.mark.parametrize("draw", OF_NORMAL_NORMS[1:])
def test_norms_are_independent_of_directions(draw):
    # Over seeds: drawn from one stream, a first norm would follow the first direction.
    drawn = [draw(seed, D, D).astype("float64") for seed in range(600)]
    norms = np.linalg.norm(drawn, axis=-1)
    units = directions(np.array(drawn))
    for i in range(D):
        centered = norms[:, i] - norms[:, i].mean()
        assert_mean(centered[:, None, None] * units, 0)
        assert_mean(centered[:, None, None] * (units**2 - 1 / D), 0)


@pytest.mark.parametrize("draw", OF_NORMAL_NORMS)
def test_norms_of_a_block_are_independent(draw):
    norms = np.linalg.norm(draw(0, 1500 * D, D), axis=1)
    norms = norms.astype("float64").reshape(-1, D)
    centered = norms - norms.mean()
    assert_mean(centered[:, 0] * centered[:, 1], 0)
    assert_mean(centered[:-1, 0] * centered[1:, 0], 0)


@pytest.mark.parametrize("draw", KINDS)
def test_blocks_are_independent(draw):
    rows = draw(0, 2000 * D, D).astype("float64").reshape(2000, D, D)
    former, latter = rows[::2], rows[1::2]
    assert_mean(former * latter, 0)
    assert_mean(np.einsum("bij,bkj->bik", former, latter), 0)
    assert_mean((former**2 - 1)[:, :, 0] * (latter**2 - 1)[:, :, 0], 0)


@pytest.mark.parametrize("draw", KINDS)
def test_the_seed_decides(draw):
    rows = draw(3, M, D)
    assert np.array_equal(rows, draw(3, M, D))
    assert np.array_equal(draw((3, 5), M, D), draw([3, 5], M, D))
    others = [draw(seed, M, D) for seed in (4, (3, 0, 1), (3, 5), (5, 3))]
    for i, other in enumerate([rows, *others]):
        for another in others[i:]:
            assert np.min(np.abs(other - another).max(axis=1)) > 1e-3  # every row


def test_another_seed_draws_other_norms():
    norms = [
        np.linalg.norm(projections.orthogonal(seed, M, D), axis=1) for seed in (3, 4)
    ]
    assert np.min(np.abs(norms[0] - norms[1])) > 1e-4


def test_drawing_leaves_the_global_generator_alone():
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    projections.orthogonal(0, M, D)
    assert np.array_equal(before, np.random.get_state()[1])


def test_a_seed_draws_the_same_for_ever():
    expected = [[0.5645851, 0.15910313], [-0.34519115, 1.2249274]]
    expected.append([-2.0474503, 0.41752443])
    rows = projections.orthogonal(11, 3, 2)
    assert np.allclose(rows, expected, rtol=0, atol=1e-6)
    expected = [[0.75431085, -0.5588858, -0.9382766]]
    rows = projections.gaussian((11, 1), 1, 3)
    assert np.allclose(rows, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("draw", KINDS)
@pytest.mark.parametrize(
    ("shape", "name"),
    [((0, D), "num_features"), ((-1, D), "num_features"), ((2.0, D), "num_features")]
    + [((M, 0), "head_dim"), ((M, -1), "head_dim"), ((M, None), "head_dim")],
)
def test_sizes_are_checked(draw, shape, name):
    with pytest.raises(ValueError, match=f"`{name}` must be a positive integer"):
        draw(0, *shape)


@pytest.mark.parametrize("draw", KINDS)
def test_a_negative_seed_is_refused(draw):
    with pytest.raises(ValueError, match="non-negative"):
        draw(-1, M, D)


@pytest.mark.parametrize("draw", KINDS)
def test_names(draw):
    assert projections.serialize(draw) == draw.__name__
    assert projections.get(draw.__name__) is draw
    assert projections.get(draw) is draw


@keras.saving.register_keras_serializable(package="test_projections")
def first_axis(seed, num_features, head_dim):
    return np.eye(head_dim, dtype="float32")[[0] * num_features]


def test_a_registered_callable_makes_the_round_trip():
    config = projections.serialize(first_axis)
    assert projections.get(config) is first_axis


@pytest.mark.parametrize("identifier", ["orthogonale", 3, None])
def test_unknown_projections_are_told_the_known_ones(identifier):
    with pytest.raises(ValueError, match="Unknown projection") as caught:
        projections.get(identifier)
    assert repr(identifier) in str(caught.value)
    for draw in KINDS:
        assert draw.__name__ in str(caught.value)
