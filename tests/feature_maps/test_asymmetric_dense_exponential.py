"""ADERF: queries and keys brought to one second moment."""

import numpy as np
from dense_maps import adapted, mean_log_second_moment, skewed
from kernels import HEAD_DIM
from tolerances import assert_close

from keras_performer.feature_maps import AsymmetricDenseExponential, FavorPlusPlus
from keras_performer.ops import projections

ROWS = projections.gaussian(0, 4, HEAD_DIM)


def transformed(data, parameters, head):
    return [
        np.float64(x[0, :, head]) / HEAD_DIM**0.25 @ parameters[name][head].T
        for name, x in zip(("query_transform", "key_transform"), data, strict=True)
    ]


def test_both_sides_have_one_second_moment():
    data = skewed(heads=3)
    parameters = adapted(AsymmetricDenseExponential(), ROWS, *data)
    for head in range(3):
        moments = [x.T @ x / len(x) for x in transformed(data, parameters, head)]
        spread = np.diag(moments[0])
        assert np.all(np.diff(spread) <= 0)
        for moment in moments:
            assert np.max(np.abs(moment - np.diag(spread))) < 5e-3 * np.max(spread)


def test_the_curvature_is_that_of_favor_plus_plus_after_it():
    data = skewed(heads=3)
    parameters = adapted(AsymmetricDenseExponential(), ROWS, *data)
    sides = zip(
        *(transformed(data, parameters, head) for head in range(3)), strict=True
    )
    rescaled = [
        np.stack(side, axis=1)[None].astype("float32") * HEAD_DIM**0.25
        for side in sides
    ]
    expected = adapted(FavorPlusPlus(), ROWS, *rescaled)["curvature"]
    assert_close(parameters["curvature"] / expected, np.ones_like(expected), "bfloat16")


def test_no_other_transform_has_a_smaller_log_variance():
    data, generator = skewed(), np.random.default_rng(0)
    # Of data without means, which the choice of the transforms takes no account of.
    data = [x - x.mean(axis=1, keepdims=True) for x in data]
    parameters = adapted(AsymmetricDenseExponential(), ROWS, *data)
    best = mean_log_second_moment(parameters, *data)
    for _ in range(5):
        shift = np.eye(HEAD_DIM) + 0.05 * generator.standard_normal(
            (HEAD_DIM, HEAD_DIM)
        )
        other = {
            "query_transform": shift @ parameters["query_transform"],
            "key_transform": np.linalg.inv(shift).T @ parameters["key_transform"],
        }
        assert mean_log_second_moment(parameters | other, *data) > best
