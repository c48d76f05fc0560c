"""What FAVOR++ and the family of FAVOR# share: one kernel, whatever the parameters."""

import json

import numpy as np
import pytest
from compilers import wrappers
from dense_maps import (
    DENSE,
    adapted,
    full_features,
    log_second_moment,
    mean_log_second_moment,
    skewed,
    terms,
    unadapted,
)
from gradients import to_numpy
from keras import ops
from kernels import DRAWS, HEAD_DIM, draw_pair, softmax_kernel
from tolerances import EXACT, assert_close, assert_mean

from keras_performer import feature_maps
from keras_performer.feature_maps import FavorPlusPlus, Softmax
from keras_performer.ops import projections

PAIRS = [draw_pair(seed) for seed in range(3)]
NAMES = ["favor_plus_plus", "favor_sharp", "sderf", "aderf"]


@pytest.fixture(params=DENSE, ids=NAMES)
def feature_map(request):
    return request.param


def estimates(feature_map, parameters, query, key, num_features):
    """Independent estimates, of `num_features` rows of each block of D."""
    rows = parameters["projection"].reshape(DRAWS, HEAD_DIM, HEAD_DIM)
    rows = rows[:, :num_features].reshape(-1, HEAD_DIM)
    estimated = terms(feature_map, parameters | {"projection": rows}, query, key)
    return estimated.reshape(DRAWS, num_features).mean(axis=1)


def many_rows(draw, seed=0):
    return draw(seed, DRAWS * HEAD_DIM, HEAD_DIM)


@pytest.mark.parametrize("draw", [projections.gaussian, projections.orthogonal])
def test_unbiased_before_and_after_adapting(feature_map, draw):
    rows = many_rows(draw)
    before, after = unadapted(feature_map, rows), adapted(feature_map, rows, *skewed())
    for pair in PAIRS:
        samples = [
            estimates(feature_map, parameters, *pair, HEAD_DIM)
            for parameters in (before, after)
        ]
        assert np.min(np.abs(samples[0] - samples[1])) > 0
        for each in samples:
            assert_mean(each, softmax_kernel(*pair))


@pytest.mark.parametrize("num_features", [1, HEAD_DIM])
def test_mean_squared_error_of_independent_rows(feature_map, num_features):
    rows = many_rows(projections.gaussian)
    parameters = adapted(feature_map, rows, *skewed())
    for pair in PAIRS:
        kernel = softmax_kernel(*pair)
        samples = estimates(feature_map, parameters, *pair, num_features)
        expected = (np.exp(log_second_moment(parameters, *pair)) - kernel**2) / (
            num_features
        )
        assert_mean((samples - kernel) ** 2, expected)


def test_each_of_the_family_has_less_variance_on_skewed_data():
    data, rows = skewed(), projections.gaussian(0, 4, HEAD_DIM)
    parameters = [unadapted(DENSE[0], rows)]
    parameters += [adapted(feature_map, rows, *data) for feature_map in DENSE]
    logs = [mean_log_second_moment(each, *data) for each in parameters]
    assert np.all(np.diff(logs) < -0.1), logs


def test_less_error_of_attention_on_skewed_data():
    queries, keys = skewed(60)
    exact = np.exp(np.einsum("bthd,bshd->bts", queries, keys) / HEAD_DIM**0.5)
    exact /= exact.sum(-1, keepdims=True)

    rows = projections.gaussian(0, 64, HEAD_DIM)

    def error(feature_map, parameters):
        errors = []
        for seed in range(15):
            rows = {"projection": projections.gaussian(seed, 64, HEAD_DIM)}
            query, key = (
                full_features(method, x.swapaxes(1, 2), parameters | rows)[:, 0]
                for method, x in (
                    (feature_map.queries, queries),
                    (feature_map.keys, keys),
                )
            )
            kernel = np.einsum("btm,bsm->bts", query, key)
            kernel /= kernel.sum(-1, keepdims=True)
            errors.append(np.mean((kernel - exact) ** 2))
        return np.mean(errors)

    plain = error(FavorPlusPlus(), unadapted(FavorPlusPlus(), rows))
    errors = [error(each, adapted(each, rows, queries, keys)) for each in DENSE]
    assert max(errors) < 0.9 * plain, (plain, errors)
    assert errors[-1] < 0.85 * errors[0], errors


def test_the_transforms_keep_the_product(feature_map):
    data = skewed(heads=3)
    parameters = adapted(feature_map, projections.gaussian(0, 4, HEAD_DIM), *data)
    product = np.einsum(
        "hij,hik->hjk", parameters["query_transform"], parameters["key_transform"]
    )
    assert_close(product, np.tile(np.eye(HEAD_DIM), (3, 1, 1)))
    assert np.all(parameters["curvature"] < 0)
    # No head has the parameters of another.
    for name in ("curvature", "query_transform", "key_transform"):
        first, *others = parameters[name]
        if not np.array_equal(
            first, unadapted(feature_map, data[0][0, :2, 0])[name][0]
        ):
            assert all(np.max(np.abs(first - other)) > 1e-3 for other in others)


def test_without_adapting_it_is_favor_plus(feature_map):
    x = np.random.default_rng(0).standard_normal((2, 3, 7, HEAD_DIM))
    rows = projections.orthogonal(0, 11, HEAD_DIM)
    parameters = unadapted(feature_map, rows, heads=3)
    plain = {"projection": rows.astype(EXACT)}
    for method in ("queries", "keys"):
        actual = full_features(getattr(feature_map, method), x, parameters)
        expected = full_features(getattr(Softmax(), method), x, plain)
        assert_close(actual, expected, EXACT)


@pytest.mark.parametrize("scale", [0, 1, 3])
def test_positive(feature_map, scale):
    queries, keys = skewed()
    rows = projections.orthogonal(0, 64, HEAD_DIM)
    parameters = adapted(feature_map, rows, queries, keys)
    for method, x in ((feature_map.queries, queries), (feature_map.keys, keys)):
        features = full_features(method, scale * x.swapaxes(1, 2), parameters)
        assert np.min(features) > 0


@pytest.mark.parametrize("scale", [1, 100, 1e10])
def test_features_are_bounded_and_their_weight_is_apart(feature_map, scale):
    data = skewed(heads=3)
    rows = projections.orthogonal(0, 11, HEAD_DIM)
    parameters = adapted(feature_map, rows, *data)
    parameters = {k: p.astype("float32") for k, p in parameters.items()}
    for method, x in zip((feature_map.queries, feature_map.keys), data, strict=True):
        values, log_weight = map(
            to_numpy, method(np.float32(scale) * x.swapaxes(1, 2), parameters)
        )
        assert values.shape == (1, 3, 200, feature_map.size(HEAD_DIM, parameters))
        assert log_weight.shape == (1, 3, 200)
        assert np.all(np.isfinite(values)) and np.all(np.isfinite(log_weight))
        assert np.all(values.max(axis=-1) <= 1) and np.all(values.max(axis=-1) > 0.09)


def test_the_formula_for_each_head(feature_map):
    """`Π (1 − 4A)^¼ / √M · exp(Σ A ω² + √(1 − 4A) ω·x − ‖x‖²/2)`, head by head."""
    heads, chunks, size = 3, 4, 5
    data = skewed(chunks * size, heads)
    rows = projections.orthogonal(0, 11, HEAD_DIM)
    parameters = adapted(feature_map, rows, *data)
    for name, x in zip(("query", "key"), data, strict=True):
        x = np.float64(x.swapaxes(1, 2))  # (B, H, T, D)
        expected = np.zeros((1, heads, chunks * size, 11))
        for head in range(heads):
            curvature = np.float64(parameters["curvature"][head])
            turned = (
                x[0, head] / HEAD_DIM**0.25 @ parameters[f"{name}_transform"][head].T
            )
            norms = np.sum(turned**2, axis=-1, keepdims=True) / 2
            stretched = turned * np.sqrt(1 - 4 * curvature)
            bias = np.float64(rows) ** 2 @ curvature
            factor = np.prod((1 - 4 * curvature) ** 0.25) / np.sqrt(11)
            expected[0, head] = factor * np.exp(bias + stretched @ rows.T - norms)
        method = {"query": feature_map.queries, "key": feature_map.keys}[name]
        assert_close(full_features(method, x, parameters), expected, EXACT)
        chunked = x.reshape(1, heads, chunks, size, HEAD_DIM)
        actual = full_features(method, chunked, parameters)
        assert_close(actual.reshape(expected.shape), expected, EXACT)


def test_another_draw_changes_the_features_and_not_the_kernel(feature_map):
    pair, data, drawn = PAIRS[0], skewed(), []
    for seed in (1, 2):
        parameters = adapted(
            feature_map, many_rows(projections.orthogonal, seed), *data
        )
        drawn.append(estimates(feature_map, parameters, *pair, HEAD_DIM))
        assert_mean(drawn[-1], softmax_kernel(*pair))
    assert np.min(np.abs(drawn[0] - drawn[1])) > 0


@pytest.mark.slow
@pytest.mark.parametrize("feature_map", DENSE[1:], ids=NAMES[1:])
def test_graph_and_compiled_are_as_eager(feature_map):
    queries, keys = skewed(20, heads=2)
    rows = projections.orthogonal(0, 11, HEAD_DIM).astype("float32")
    start = feature_map.initial_parameters(2, HEAD_DIM, {"projection": rows})

    def function(queries, keys):
        moments = feature_maps.Moments.of(queries, keys)
        parameters = start | feature_map.adapted_parameters(moments)
        query, query_weight = feature_map.queries(
            ops.swapaxes(queries, 1, 2), parameters
        )
        key, key_weight = feature_map.keys(ops.swapaxes(keys, 1, 2), parameters)
        weights = query_weight[..., None] + key_weight[..., None, :]
        kernel = ops.matmul(query, ops.swapaxes(key, -1, -2))
        return kernel * ops.exp(weights), parameters["curvature"]

    arguments = [ops.convert_to_tensor(x) for x in (queries, keys)]
    eager = [to_numpy(x) for x in function(*arguments)]
    assert eager[0].shape == (1, 2, 20, 20)
    for wrap in wrappers():
        compiled = wrap(function)(*arguments)
        assert_close(to_numpy(compiled[1]), eager[1])
        logs = [np.log(to_numpy(compiled[0])), np.log(eager[0])]
        assert np.max(np.abs(logs[0] - logs[1])) < 1e-2


def test_degenerate_data_leaves_the_map_usable(feature_map):
    """Nothing gathered, a constant, fewer directions than D: finite, and unbiased."""
    rows = many_rows(projections.gaussian)
    zeros = np.zeros((1, 5, 1, HEAD_DIM), "float32")
    constant = np.ones_like(zeros)
    plane = constant * np.float32([1, -1, 1, 1, 0, 0, 0, 0])
    plane[:, ::2] = 0.5
    for queries, keys in ((zeros, zeros), (constant, constant), (plane, constant)):
        parameters = adapted(feature_map, rows, queries, keys)
        assert all(np.all(np.isfinite(x)) for x in parameters.values())
        query, key = (0.3 * x[0, 0, 0].astype("float64") for x in (queries, keys))
        samples = estimates(feature_map, parameters, query, key, HEAD_DIM)
        if not query.any():
            assert_close(samples, np.ones(DRAWS), "float32")
        else:
            assert_mean(samples, softmax_kernel(query, key))


@pytest.mark.parametrize("name", NAMES)
def test_by_name_and_by_configuration(name):
    feature_map = feature_maps.get(name)
    assert type(feature_map) is type(DENSE[NAMES.index(name)])
    assert feature_map.adapts and feature_map.draws_projection
    assert not feature_map.trainable
    config = json.loads(json.dumps(feature_maps.serialize(feature_map)))
    assert config["registered_name"] == f"keras_performer>{type(feature_map).__name__}"
    assert feature_maps.deserialize(config) == feature_map
