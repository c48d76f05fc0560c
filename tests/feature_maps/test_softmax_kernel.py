"""Exponentials over features, with the logarithm of what they were divided by."""

import numpy as np
import pytest
from dense_maps import DENSE, adapted, skewed
from gradients import to_numpy, to_tensor, value_and_gradients
from keras import ops
from kernels import HEAD_DIM
from tolerances import EXACT, EXACT_SINE, assert_close

from keras_performer.feature_maps import Hybrid, Hyperbolic, Learned, Softmax
from keras_performer.feature_maps.softmax_kernel import normalized_exp
from keras_performer.ops import projections

pytestmark = pytest.mark.backends


def draw(size, scale=1.0, shift=0.0):
    return np.random.default_rng(0).standard_normal((3, 50, size)) * scale + shift


def log_sum_exp(logits):
    highest = logits.max(axis=-1, keepdims=True)
    return highest[..., 0] + np.log(np.exp(logits - highest).sum(-1))


@pytest.mark.parametrize("shift", [0, -1e3, 1e3])
@pytest.mark.parametrize("scale", [0, 1, 10])
@pytest.mark.parametrize("size", [2, 3, 8, 11, 256])
def test_values_and_logarithm(size, scale, shift):
    logits = draw(size, scale, shift)
    log_sum = log_sum_exp(logits)
    expected = np.exp(logits - log_sum[..., None])
    values, actual = normalized_exp(to_tensor(logits.astype(EXACT)))
    assert_close(to_numpy(values), expected, "float32")
    assert np.max(np.abs(to_numpy(actual) - log_sum)) < 1e-3 * (1 + abs(shift) * 1e-3)
    values, actual = normalized_exp(to_tensor(logits.astype("float32")))
    assert_close(np.log(to_numpy(values) + 1e-9), np.log(expected + 1e-9), "bfloat16")
    assert np.max(np.abs(to_numpy(actual) - log_sum)) < 1e-3 + 1e-6 * abs(shift)


@pytest.mark.parametrize("distance", [20, 100, 1e4, 1e20])
@pytest.mark.parametrize("feature", [0, 40, 63])
def test_one_feature_may_lie_far_above_the_others(distance, feature):
    logits = draw(64).astype("float32")
    logits[..., feature] += distance
    values, log_sum = map(to_numpy, normalized_exp(to_tensor(logits)))
    assert np.all(np.isfinite(values))
    assert_close(log_sum, log_sum_exp(np.float64(logits)))


def test_the_gradient_is_that_of_the_exponential():
    """`exp(l − c) · exp(c)` is `exp(l)`: no other logit has an influence on it."""
    logits, upstream = draw(11), draw(11)[::-1].copy()

    def function(logits):
        values, log_sum = normalized_exp(logits)
        return values * ops.exp(log_sum)[..., None]

    value, (gradient,) = value_and_gradients(
        function, [logits.astype(EXACT)], upstream.astype(EXACT)
    )
    assert_close(value, np.exp(logits), EXACT)
    assert_close(gradient, upstream * np.exp(logits), EXACT)


def positive_map(feature_map, heads=2):
    """A map with parameters of its own for each head, biases too."""
    rows = projections.orthogonal(0, 11, HEAD_DIM)
    if feature_map.adapts:
        return adapted(feature_map, rows, *skewed(heads=heads))
    drawn = feature_map.draw(projections.orthogonal, 0, 11, HEAD_DIM)
    parameters = feature_map.initial_parameters(heads, HEAD_DIM, drawn)
    if feature_map.trainable:
        generator = np.random.default_rng(1)
        for name, x in parameters.items():
            parameters[name] = x + 0.3 * generator.standard_normal(x.shape)
    return {name: x.astype(EXACT) for name, x in parameters.items()}


@pytest.mark.parametrize("side", ["queries", "keys"])
@pytest.mark.parametrize(
    "feature_map", [Softmax(), Hyperbolic(), Hybrid(), Learned(), *DENSE], ids=repr
)
def test_gradients_of_features_are_finite_differences(feature_map, side):
    dtype = EXACT_SINE if isinstance(feature_map, Hybrid) else EXACT
    parameters = {k: x.astype(dtype) for k, x in positive_map(feature_map).items()}
    x = 0.7 * np.random.default_rng(2).standard_normal((1, 2, 3, HEAD_DIM))
    trained = list(parameters) if feature_map.trainable else []

    def function(x, *tensors):
        values, log_weight = getattr(feature_map, side)(
            x, parameters | dict(zip(trained, tensors, strict=True))
        )
        return values * ops.exp(log_weight)[..., None]

    arrays = [x.astype(dtype), *(parameters[name] for name in trained)]
    size = feature_map.size(HEAD_DIM, parameters)
    upstream = np.random.default_rng(3).standard_normal((1, 2, 3, size)).astype(dtype)
    _, gradients = value_and_gradients(function, arrays, upstream)

    step = {"float64": 1e-5, "float32": 1e-2}[dtype]
    for index, gradient in enumerate(gradients):
        directions = np.random.default_rng(4).standard_normal((4, *gradient.shape))
        for direction in directions:
            moved = []
            for sign in (1, -1):
                shifted = list(arrays)
                move = (sign * step * direction).astype(dtype)
                shifted[index] = shifted[index] + move
                moved.append(np.float64(to_numpy(function(*map(to_tensor, shifted)))))
            slope = np.sum((moved[0] - moved[1]) / (2 * step) * upstream)
            expected = np.sum(gradient * direction)
            scale = np.sqrt(np.sum(np.float64(gradient) ** 2))
            assert abs(slope - expected) < {"float64": 1e-7, "float32": 1e-2}[
                dtype
            ] * max(scale, 1)


@pytest.mark.parametrize("size", [1e5, 1e10])
@pytest.mark.parametrize(
    "feature_map", [Softmax(), Hyperbolic(), Learned(), *DENSE], ids=repr
)
def test_large_inputs_stay_finite_with_their_gradients(feature_map, size):
    parameters = {k: x.astype("float32") for k, x in positive_map(feature_map).items()}
    x = size * np.random.default_rng(2).standard_normal((1, 2, 3, HEAD_DIM))

    def function(x):
        values, log_weight = feature_map.keys(x, parameters)
        return values * ops.exp(ops.clip(log_weight, -80.0, 60.0))[..., None]

    upstream = np.ones((1, 2, 3, feature_map.size(HEAD_DIM, parameters)), "float32")
    value, (gradient,) = value_and_gradients(function, [x.astype("float32")], upstream)
    assert np.all(np.isfinite(value)) and np.all(np.isfinite(gradient))
