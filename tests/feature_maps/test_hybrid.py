"""Hybrid features: no error at the angles 0 and π, the better component in between."""

import json

import numpy as np
import pytest
from compilers import wrappers
from dense_maps import full_features
from gradients import to_numpy
from keras import ops
from kernels import HEAD_DIM, draw_pair, scaled, softmax_kernel
from tolerances import EXACT, EXACT_SINE, assert_close, assert_mean

from keras_performer import feature_maps
from keras_performer.feature_maps import Hybrid, Hyperbolic, Trigonometric
from keras_performer.ops import projections

DRAWS, ROWS = 3000, 2


def draw_parameters(draws, num_directions=4, seed=0):
    """Independent parameters, one set for each of `draws` heads."""
    rows = projections.gaussian(seed, draws * ROWS, HEAD_DIM)
    directions = projections.gaussian((seed, 1), draws * num_directions, HEAD_DIM)
    return {
        "projection": rows.reshape(draws, ROWS, HEAD_DIM),
        "directions": directions.reshape(draws, num_directions, HEAD_DIM),
    }


def estimates(feature_map, parameters, query, key):
    """An estimate of the kernel from each head's parameters."""
    draws = len(parameters["projection"])
    queries, keys = (
        full_features(method, np.tile(x, (1, draws, 1, 1)), parameters)[0, :, 0]
        for method, x in ((feature_map.queries, query), (feature_map.keys, key))
    )
    return np.sum(np.float64(queries) * keys, axis=-1)


def pair_at(angle, length=1.6, seed=0):
    """Two vectors, `‖x‖ = length` when scaled, at an angle."""
    axes, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((HEAD_DIM, 2)))
    query = length * HEAD_DIM**0.25 * axes[:, 0]
    other = np.cos(angle) * axes[:, 0] + np.sin(angle) * axes[:, 1]
    return query, length * HEAD_DIM**0.25 * other


@pytest.mark.parametrize("num_directions", [1, 4])
@pytest.mark.parametrize("seed", range(4))
def test_unbiased(seed, num_directions):
    pair = draw_pair(seed)
    parameters = draw_parameters(DRAWS, num_directions)
    samples = estimates(Hybrid(num_directions), parameters, *pair)
    assert_mean(samples, softmax_kernel(*pair))


@pytest.mark.parametrize("sign", [1, -1])
def test_no_error_where_query_and_key_are_equal_or_opposite(sign):
    query, _ = draw_pair()
    samples = estimates(Hybrid(), draw_parameters(50), query, sign * query)
    assert_close(samples, np.full(50, softmax_kernel(query, sign * query)), EXACT_SINE)
    wrong = {1: Hyperbolic(), -1: Trigonometric()}[sign]
    others = estimates(wrong, draw_parameters(50), query, sign * query)
    assert np.std(others) > 0.01


@pytest.mark.parametrize(
    ("angle", "wrong"), [(0.15, Hyperbolic()), (np.pi - 0.15, Trigonometric())]
)
def test_less_variance_than_the_wrong_component(angle, wrong):
    pair = pair_at(angle)
    kernel = softmax_kernel(*pair)
    parameters = draw_parameters(DRAWS)
    errors = [
        np.mean((estimates(feature_map, parameters, *pair) - kernel) ** 2)
        for feature_map in (Hybrid(), wrong)
    ]
    assert errors[0] < 0.5 * errors[1], errors


@pytest.mark.parametrize("angle", [0.4, np.pi / 2, 2.5])
def test_the_weight_is_the_angle(angle):
    """Over many directions, `λ hyperbolic + (1 − λ) trigonometric` with λ = angle / π.

    The projection is the same in all draws, the directions are not.
    """
    pair = pair_at(angle)
    parameters = draw_parameters(DRAWS)
    parameters["projection"] = np.tile(parameters["projection"][:1], (DRAWS, 1, 1))
    samples = estimates(Hybrid(), parameters, *pair)
    one = {"projection": parameters["projection"][:1]}
    hyperbolic, trigonometric = (
        estimates(part, one, *pair)[0] for part in (Hyperbolic(), Trigonometric())
    )
    assert abs(hyperbolic - trigonometric) > 0.1
    share = angle / np.pi
    assert_mean(samples, share * hyperbolic + (1 - share) * trigonometric)


def test_directions_are_of_a_seed_of_their_own():
    drawn = Hybrid(3).draw(projections.orthogonal, 5, 11, HEAD_DIM)
    assert {k: x.shape for k, x in drawn.items()} == {
        "projection": (11, HEAD_DIM),
        "directions": (3, HEAD_DIM),
    }
    assert np.array_equal(drawn["projection"], projections.orthogonal(5, 11, HEAD_DIM))
    cosines = unit(drawn["directions"]) @ unit(drawn["projection"]).T
    assert np.max(np.abs(cosines)) < 0.999
    again = Hybrid(3).draw(projections.orthogonal, 5, 11, HEAD_DIM)
    for name, x in drawn.items():
        assert np.array_equal(x, again[name])


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def test_another_draw_changes_the_features_and_not_the_kernel():
    pair, drawn, samples = draw_pair(), [], []
    for seed in ((3, 100), (3, 200, 0)):  # as the callback passes them
        drawn.append(Hybrid().draw(projections.orthogonal, seed, 11, HEAD_DIM))
        samples.append(estimates(Hybrid(), draw_parameters(DRAWS, seed=seed), *pair))
        assert_mean(samples[-1], softmax_kernel(*pair))
    for name in drawn[0]:
        assert np.min(np.abs(drawn[0][name] - drawn[1][name])) > 0
    assert np.all(samples[0] != samples[1])


def test_more_directions_leave_less_variance():
    """Of the angle: a sixteenth with sixteen, the projection being the same."""
    variances = []
    for number in (1, 16):
        parameters = draw_parameters(DRAWS, number)
        parameters["projection"] = np.tile(parameters["projection"][:1], (DRAWS, 1, 1))
        samples = estimates(Hybrid(number), parameters, *pair_at(0.8))
        variances.append(np.var(samples))
    assert abs(16 * variances[1] / variances[0] - 1) < 0.2


def test_size_and_chunks():
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 5, HEAD_DIM))
    parameters = Hybrid(2).draw(projections.orthogonal, 0, 11, HEAD_DIM)
    chunked = full_features(Hybrid(2).keys, x, parameters)
    assert chunked.shape[-1] == Hybrid(2).size(HEAD_DIM, parameters) == 4 * 11 * 3
    whole = full_features(Hybrid(2).keys, x.reshape(2, 3, 20, HEAD_DIM), parameters)
    assert_close(chunked.reshape(whole.shape), whole, EXACT)


@pytest.mark.parametrize("scale", [0, 1, 100, 1e10])
def test_features_are_bounded_and_their_weight_is_apart(scale):
    x = np.random.default_rng(0).standard_normal((2, 3, 7, HEAD_DIM)) * scale
    parameters = Hybrid().draw(projections.orthogonal, 0, 11, HEAD_DIM)
    for method in (Hybrid().queries, Hybrid().keys):
        values, log_weight = map(to_numpy, method(x.astype("float32"), parameters))
        assert np.all(np.isfinite(log_weight)) and np.max(np.abs(values)) <= 1


@pytest.mark.slow
def test_graph_and_compiled_are_as_eager():
    parameters = Hybrid().draw(projections.orthogonal, 0, 11, HEAD_DIM)
    x = np.random.default_rng(0).standard_normal((2, 3, 7, HEAD_DIM)).astype("float32")

    def function(x):
        queries, keys = (m(x, parameters) for m in (Hybrid().queries, Hybrid().keys))
        return *queries, *keys

    x = ops.convert_to_tensor(x)
    eager = [to_numpy(a) for a in function(x)]
    for wrap in wrappers():
        for a, b in zip(wrap(function)(x), eager, strict=True):
            assert_close(to_numpy(a), b)


@pytest.mark.parametrize("number", [0, -1, 2.0, None])
def test_the_number_of_directions_is_checked(number):
    with pytest.raises(ValueError, match="`num_directions` must be a positive integer"):
        Hybrid(number)


def test_by_name_and_by_configuration():
    assert feature_maps.get("hybrid") == Hybrid(num_directions=4)
    config = json.loads(json.dumps(feature_maps.serialize(Hybrid(7))))
    assert feature_maps.deserialize(config) == Hybrid(7) != Hybrid()
    assert config["registered_name"] == "keras_performer>Hybrid"


def test_pairs_lie_at_their_angle():
    x, y = map(scaled, pair_at(0.5))
    assert_close([x @ x, x @ y], [2.56, 2.56 * np.cos(0.5)], "float64")
