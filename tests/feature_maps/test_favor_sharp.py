"""FAVOR# (SADERF): coordinates of queries and keys made alike in size."""

import numpy as np
from dense_maps import adapted, log_second_moment, skewed
from kernels import HEAD_DIM
from tolerances import assert_close

from keras_performer.feature_maps import FavorPlusPlus, FavorSharp
from keras_performer.ops import projections

ROWS = projections.gaussian(0, 4, HEAD_DIM)


def test_the_scale_of_each_coordinate():
    queries, keys = skewed(heads=3)
    parameters = adapted(FavorSharp(), ROWS, queries, keys)
    squares = [np.sum(np.float64(x[0]) ** 2, axis=0) for x in (queries, keys)]
    ratio = squares[1] / squares[0]
    for head in range(3):
        expected = np.diag(ratio[head] ** 0.25)
        error = parameters["query_transform"][head] - expected
        assert np.max(np.abs(error)) < 5e-3 * np.max(expected)
        inverse = parameters["key_transform"][head] @ expected
        assert np.max(np.abs(inverse - np.eye(HEAD_DIM))) < 5e-3


def test_coordinates_are_alike_afterwards():
    queries, keys = skewed()
    parameters = adapted(FavorSharp(), ROWS, queries, keys)
    sizes = [
        np.mean((x[0, :, 0] @ parameters[name][0].T) ** 2, axis=0)
        for name, x in (("query_transform", queries), ("key_transform", keys))
    ]
    assert np.max(np.abs(sizes[0] / sizes[1] - 1)) < 1e-2
    before = [np.mean(x[0, :, 0] ** 2, axis=0) for x in (queries, keys)]
    assert np.max(np.abs(np.log(before[0] / before[1]))) > 1


def test_it_is_favor_plus_plus_of_the_rescaled_data():
    queries, keys = skewed()
    parameters = adapted(FavorSharp(), ROWS, queries, keys)
    rescaled = [
        (x[0, :, 0] @ parameters[name][0].T)[None, :, None].astype("float32")
        for name, x in (("query_transform", queries), ("key_transform", keys))
    ]
    expected = adapted(FavorPlusPlus(), ROWS, *rescaled)["curvature"]
    assert_close(parameters["curvature"] / expected, np.ones_like(expected), "bfloat16")


def test_a_size_may_pass_from_queries_to_keys():
    """Factors that leave the kernel as it is leave the variance as it is as well."""
    queries, keys = skewed()
    factor = np.geomspace(0.2, 5, HEAD_DIM).astype("float32")
    moved = queries * factor, keys / factor
    logs = [
        log_second_moment(adapted(FavorSharp(), ROWS, q, k), q[0, :, 0], k[0, :, 0])
        for q, k in ((queries, keys), moved)
    ]
    assert_close(*logs, "bfloat16")
    plain = [
        log_second_moment(adapted(FavorPlusPlus(), ROWS, q, k), q[0, :, 0], k[0, :, 0])
        for q, k in ((queries, keys), moved)
    ]
    assert np.mean(plain[1]) > np.mean(plain[0]) + 1
