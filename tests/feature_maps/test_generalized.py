"""Generalised attention: `φ(x) = f(x) + ε`."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_performer import feature_maps
from keras_performer.feature_maps import Generalized

X = np.array([[-2.0, -0.5, 0.0, 3.0], [1.0, 2.0, -1.0, 0.25]], "float32")


@keras.saving.register_keras_serializable(package="test_generalized")
def square(x):
    return x * x


def features(feature_map, x=X):
    return [
        [ops.convert_to_numpy(part) for part in method(x, {})]
        for method in (feature_map.queries, feature_map.keys)
    ]


def test_relu():
    expected = np.maximum(X, 0) + np.float32(1e-3)
    for values, log_weight in features(feature_maps.get("relu")):
        assert values.dtype == "float32"
        assert np.array_equal(values, expected)
        assert np.array_equal(log_weight, np.zeros(2))


@pytest.mark.parametrize(
    ("activation", "function"),
    [("exponential", np.exp), (square, np.square), ("linear", lambda x: x)],
)
def test_other_functions(activation, function):
    for values, _ in features(Generalized(activation, epsilon=0.5)):
        assert np.allclose(values, function(X) + 0.5, rtol=1e-6)


def test_size_is_that_of_the_head():
    assert Generalized().size(7, {}) == 7
    assert not Generalized.draws_projection


@pytest.mark.parametrize("name", ["relu", "elu", "gelu", "softplus"])
@pytest.mark.parametrize("scale", [1, 100])
def test_the_kernel_of_relu_is_positive(name, scale):
    x = scale * np.random.default_rng(0).standard_normal((50, 5))
    (queries, _), (keys, _) = features(Generalized(name, epsilon=2.0), x)
    assert np.min(queries @ keys.T) > 0


@pytest.mark.parametrize("epsilon", [-1e-9, -1])
def test_a_negative_epsilon_is_refused(epsilon):
    with pytest.raises(ValueError, match=f"`epsilon` must not.*epsilon={epsilon}"):
        Generalized("relu", epsilon)


def test_an_unknown_activation_is_refused():
    with pytest.raises(ValueError, match="rellu"):
        Generalized("rellu")


def test_zero_is_a_choice_of_epsilon():
    (values, _), _ = features(Generalized("relu", epsilon=0))
    assert np.array_equal(values, np.maximum(X, 0))


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("elu", lambda x: np.where(x > 0, x, np.expm1(x)) + 1),
        ("abs", lambda x: np.abs(x) + 1e-3),
        ("exp", lambda x: np.exp(x) + 1e-3),
        ("sigmoid", lambda x: 1 / (1 + np.exp(-x)) + 1e-3),
        ("relu", lambda x: np.maximum(x, 0) + 1e-3),
    ],
)
def test_maps_by_name(name, function):
    feature_map = feature_maps.get(name)
    for values, _ in features(feature_map):
        assert np.allclose(values, function(X), rtol=1e-5)
    again = feature_maps.deserialize(feature_maps.serialize(feature_map))
    assert again == feature_map


def test_exp_of_a_large_input_is_finite():
    (values, _), _ = features(feature_maps.get("exp"), np.array([[1e4]], "float32"))
    assert np.isfinite(np.sum(values**2) * 1e3)


def test_with_a_projection():
    feature_map = Generalized("relu", projected=True)
    rows = np.random.default_rng(0).standard_normal((7, 4)).astype("float32")
    parameters = feature_map.draw(lambda *_: rows, 0, 7, 4)
    assert feature_map.size(4, parameters) == 7
    values, _ = feature_map.keys(X, parameters)
    expected = np.maximum(X @ rows.T, 0) + 1e-3
    assert np.allclose(ops.convert_to_numpy(values), expected, rtol=1e-5, atol=1e-6)
    assert feature_map != Generalized("relu")
