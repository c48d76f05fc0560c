"""Laws of the maps with two features a row, hyperbolic and trigonometric ones."""

import numpy as np
from keras import ops
from kernels import HEAD_DIM, draw_pair, scaled, softmax_kernel
from tolerances import assert_mean

from keras_performer.ops import projections

PAIRS = [draw_pair(seed) for seed in range(4)]
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


def distances(query, key):
    """`‖x + y‖²` and `‖x − y‖²`."""
    x, y = scaled(query), scaled(key)
    return np.sum((x + y) ** 2), np.sum((x - y) ** 2)


def assert_unbiased(feature_map, pair, draw, num_features):
    samples = estimates(feature_map, draw, *pair, num_features)
    assert_mean(samples, softmax_kernel(*pair))


def assert_error_of_independent_rows(feature_map, pair, num_features, closed_form):
    samples = estimates(feature_map, projections.gaussian, *pair, num_features)
    errors = (samples - softmax_kernel(*pair)) ** 2
    assert_mean(errors, closed_form(*pair, num_features))


def assert_bounded_with_their_weight_apart(feature_map, scale):
    x = (scale * np.random.default_rng(0).standard_normal((50, 16))).astype("float32")
    parameters = {"projection": projections.orthogonal(0, 11, 16)}
    values, log_weight = feature_map.queries(x, parameters)
    values, log_weight = map(ops.convert_to_numpy, (values, log_weight))
    assert values.shape == (50, feature_map.size(16, parameters)) == (50, 22)
    assert np.all(np.isfinite(log_weight)) and np.max(np.abs(values)) <= 1
