"""SDERF: the principal axes of query + key, and a curvature for each."""

import numpy as np
from dense_maps import adapted, mean_log_second_moment, skewed
from kernels import HEAD_DIM

from keras_performer.feature_maps import SymmetricDenseExponential
from keras_performer.ops import projections

ROWS = projections.gaussian(0, 4, HEAD_DIM)


def second_moment_of_sums(queries, keys, head):
    """`E[(x + y)(x + y)ᵀ]` over all pairs of positions."""
    x, y = (np.float64(z[0, :, head]) / HEAD_DIM**0.25 for z in (queries, keys))
    sums = (x[:, None] + y[None]).reshape(-1, HEAD_DIM)
    return sums.T @ sums / len(sums)


def test_axes_are_principal_and_each_has_its_curvature():
    data = skewed(heads=3)
    parameters = adapted(SymmetricDenseExponential(), ROWS, *data)
    assert np.array_equal(parameters["query_transform"], parameters["key_transform"])
    for head in range(3):
        turn = parameters["query_transform"][head]
        assert np.max(np.abs(turn @ turn.T - np.eye(HEAD_DIM))) < 1e-5
        moment = turn @ second_moment_of_sums(*data, head) @ turn.T
        variances = np.diag(moment)
        assert np.max(np.abs(moment - np.diag(variances))) < 1e-4 * np.max(variances)
        root = np.sqrt((1 + 2 * variances) ** 2 + 8 * variances)
        expected = (1 - 2 * variances - root) / 16
        assert np.max(np.abs(parameters["curvature"][head] / expected - 1)) < 1e-2


def test_no_other_curvature_has_a_smaller_log_variance():
    data = skewed()
    parameters = adapted(SymmetricDenseExponential(), ROWS, *data)
    best = mean_log_second_moment(parameters, *data)
    for axis in range(HEAD_DIM):
        for factor in (0.9, 1.1):
            curvature = parameters["curvature"].copy()
            curvature[:, axis] *= factor
            other = parameters | {"curvature": curvature}
            assert mean_log_second_moment(other, *data) > best


def test_no_other_axes_have_a_smaller_log_variance():
    data, generator = skewed(), np.random.default_rng(0)
    parameters = adapted(SymmetricDenseExponential(), ROWS, *data)
    best = mean_log_second_moment(parameters, *data)
    for _ in range(5):
        shift = 0.1 * generator.standard_normal((HEAD_DIM, HEAD_DIM))
        rotation, _ = np.linalg.qr(np.eye(HEAD_DIM) + shift - shift.T)
        turned = rotation @ parameters["query_transform"]
        other = {"query_transform": turned, "key_transform": turned}
        assert mean_log_second_moment(parameters | other, *data) > best
