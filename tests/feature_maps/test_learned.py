"""Learned features: FAVOR+ at the start, with a projection and a bias for each head."""

import numpy as np
from gradients import to_numpy, to_tensor
from tolerances import EXACT, assert_close

from keras_performer.feature_maps import Learned, Softmax
from keras_performer.ops import projections

B, H, T, D, M = 2, 3, 7, 5, 11


def start():
    drawn = Learned().draw(projections.orthogonal, 0, M, D)
    parameters = Learned().initial_parameters(H, D, drawn)
    return drawn, {name: x.astype(EXACT) for name, x in parameters.items()}


def features(feature_map, x, parameters):
    parameters = {name: to_tensor(p.astype(EXACT)) for name, p in parameters.items()}
    values, log_weight = map(to_numpy, feature_map.keys(to_tensor(x), parameters))
    return values * np.exp(log_weight)[..., None]


def test_it_starts_as_softmax():
    x = np.random.default_rng(0).standard_normal((B, H, T, D))
    drawn, parameters = start()
    assert {name: p.shape for name, p in parameters.items()} == {
        "projection": (H, M, D),
        "bias": (H, M),
    }
    expected = features(Softmax(), x, drawn)
    assert_close(features(Learned(), x, parameters), expected, EXACT)


def test_a_bias_is_a_factor_of_one_feature_of_one_head():
    x = np.random.default_rng(0).standard_normal((B, H, T, D))
    _, parameters = start()
    before = features(Learned(), x, parameters)
    parameters["bias"][1, 2] = 0.5
    before[:, 1, :, 2] *= np.exp(0.5)
    assert_close(features(Learned(), x, parameters), before, EXACT)
