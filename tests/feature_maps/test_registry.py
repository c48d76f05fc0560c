"""Feature maps by name, by configuration, and as values."""

import json

import keras
import pytest

from keras_performer import feature_maps
from keras_performer.feature_maps import (
    AsymmetricDenseExponential,
    FavorPlusPlus,
    FavorSharp,
    FeatureMap,
    Generalized,
    Hybrid,
    Hyperbolic,
    Learned,
    Softmax,
    SymmetricDenseExponential,
    Trigonometric,
)

MAPS = [
    Softmax(),
    Hyperbolic(),
    Trigonometric(),
    Hybrid(),
    Hybrid(num_directions=2),
    FavorPlusPlus(),
    FavorSharp(),
    SymmetricDenseExponential(),
    AsymmetricDenseExponential(),
    Learned(),
    Generalized(),
    Generalized(projected=True),
    Generalized("elu", epsilon=1.0),
    Generalized("relu", epsilon=0.25),
]


@keras.saving.register_keras_serializable(package="test_registry")
class Power(FeatureMap):
    """A user's own map."""

    def __init__(self, exponent):
        self.exponent = exponent

    def size(self, head_dim, parameters):
        return head_dim

    def queries(self, x, parameters):
        return x**self.exponent, 0 * x[..., 0]

    keys = queries

    def get_config(self):
        return {"exponent": self.exponent}


def test_names():
    assert feature_maps.get("softmax") == Softmax()
    assert feature_maps.get("relu") == Generalized("relu", epsilon=1e-3)
    assert feature_maps.get("softmax").draws_projection
    assert feature_maps.get("favor_plus_plus") == FavorPlusPlus()
    assert feature_maps.get("favor_sharp") == FavorSharp()
    assert feature_maps.get("sderf") == SymmetricDenseExponential()
    assert feature_maps.get("aderf") == AsymmetricDenseExponential()
    assert feature_maps.get("hybrid") == Hybrid(num_directions=4)


@pytest.mark.parametrize("feature_map", [*MAPS, Power(4)], ids=repr)
def test_round_trip(feature_map):
    assert feature_maps.get(feature_map) is feature_map
    config = json.loads(json.dumps(feature_maps.serialize(feature_map)))
    for restored in (feature_maps.deserialize(config), feature_maps.get(config)):
        assert type(restored) is type(feature_map)
        assert restored.get_config() == feature_map.get_config()
        assert restored == feature_map
    assert type(feature_map).from_config(feature_map.get_config()) == feature_map


def test_a_config_holds_every_argument():
    feature_map = Generalized("elu", epsilon=0.125, projected=True)
    assert feature_map.get_config() == {
        "activation": "elu",
        "epsilon": 0.125,
        "projected": True,
    }
    assert Softmax().get_config() == {}


@pytest.mark.parametrize("identifier", ["favor", "Softmax", None, 3, Softmax, []])
def test_unknown_maps_are_told_the_known_ones(identifier):
    with pytest.raises(ValueError, match="Unknown feature map") as caught:
        feature_maps.get(identifier)
    for expected in (repr(identifier), "'softmax'", "'relu'", "FeatureMap"):
        assert expected in str(caught.value)


@pytest.mark.parametrize(
    "config", [{}, keras.saving.serialize_keras_object(keras.initializers.Zeros())]
)
def test_a_configuration_of_something_else_is_refused(config):
    with pytest.raises(ValueError, match="feature map"):
        feature_maps.get(config)


def test_maps_are_values():
    for i, a in enumerate(MAPS):
        for j, b in enumerate(MAPS):
            assert (a == b) == (i == j)
    twins = [Generalized("elu", epsilon=1.0), Generalized("elu", epsilon=1.0)]
    assert twins[0] is not twins[1]
    assert len(set(twins)) == 1
    assert len(set(MAPS)) == len(MAPS)
    assert Softmax() != "softmax"
    assert Power(2) != Power(3)


def test_repr_reads_as_the_call():
    assert repr(Softmax()) == "Softmax()"
    expected = "Generalized(activation='elu', epsilon=1.0, projected=False)"
    assert repr(Generalized("elu", 1.0)) == expected
    for feature_map in MAPS:
        assert eval(repr(feature_map)) == feature_map


def test_the_contract_is_abstract():
    with pytest.raises(TypeError, match="abstract"):
        FeatureMap()
