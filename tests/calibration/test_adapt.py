"""Feature maps of a model, adapted to data."""

import numpy as np
import pytest
from gradients import to_numpy
from small_model import batches, small_model
from tolerances import assert_close

from keras_performer.calibration import adapt, measure_approximation, recorded
from keras_performer.feature_maps import Moments


def parameters(layer):
    return {k: to_numpy(v) for k, v in layer.feature_parameters.items()}


def test_the_parameters_are_those_of_the_mean_moments():
    model, data = small_model("favor_sharp"), batches(3)
    seen = [each for [each, _] in recorded(model, data)]
    moments = Moments.mean([Moments.of(each.query, each.key) for each in seen])
    layer = seen[0].layer
    before = parameters(layer)
    adapt(model, data)
    after = parameters(layer)
    for name, expected in layer.feature_map.adapted_parameters(moments).items():
        assert_close(after[name], to_numpy(expected))
        assert np.any(after[name] != before[name])
    assert np.array_equal(after["projection"], before["projection"])


def test_adapting_again_changes_nothing():
    model, data = small_model("favor_plus_plus"), batches(2)
    adapt(model, data)
    [layer, _] = [x for x in model.layers if "attention" in x.name]
    before = parameters(layer)
    adapt(model, data)
    assert all(np.array_equal(parameters(layer)[k], v) for k, v in before.items())


def test_the_error_falls():
    """Where queries and keys are long, which is where curvature helps."""
    data = batches(2, length=40, scale=3.0)
    errors = []
    for fit in (lambda *_: None, adapt):
        model = small_model("favor_plus_plus", num_features=512)
        fit(model, data)
        result = measure_approximation(model, data, maps=(), num_features=())
        errors.append([head.error for head in result.heads[:2]])
    assert np.all(np.array(errors[1]) < np.array(errors[0]))


def test_models_without_such_a_map_are_refused():
    with pytest.raises(ValueError, match="favor_sharp"):
        adapt(small_model("softmax"), batches(1))
