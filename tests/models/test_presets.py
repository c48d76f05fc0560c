"""Sizes of models by name, and by one number."""

import pytest

from keras_performer.models import PerformerBackbone
from keras_performer.models.presets import PRESETS, of_depth, preset


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_what_a_backbone_takes(name):
    arguments = preset(name, vocabulary_size=31)
    assert arguments["hidden_dim"] % arguments["num_heads"] == 0
    model = PerformerBackbone.from_preset(name, vocabulary_size=31, num_layers=1)
    assert model.hidden_dim == arguments["hidden_dim"]
    assert (model.vocabulary_size, model.num_layers) == (31, 1)


def test_presets_stay_as_they_are():
    preset("small", vocabulary_size=31)["num_layers"] = 99
    assert PRESETS["small"]["num_layers"] == 6
    assert "vocabulary_size" not in PRESETS["small"]


def test_an_unknown_preset_names_those_there_are():
    with pytest.raises(ValueError, match=r"no preset 'huge'.*tiny, small.*from_depth"):
        PerformerBackbone.from_preset("huge", vocabulary_size=31)


def test_the_vocabulary_is_of_the_user():
    assert preset("protein")["vocabulary_size"] == 30
    for make in (lambda: preset("small"), lambda: of_depth(3)):
        with pytest.raises(ValueError, match="pass `vocabulary_size` too"):
            make()


def test_weights_grow_as_the_cube_of_the_depth():
    counts = [
        PerformerBackbone.from_depth(d, vocabulary_size=2, feature_map="relu")
        for d in (2, 4)
    ]
    small, large = (model.count_params() for model in counts)
    assert 7.5 < large / small < 8.5


def test_a_depth_may_be_changed_in_part():
    model = PerformerBackbone.from_depth(
        2, vocabulary_size=31, num_heads=4, causal=True
    )
    assert (model.hidden_dim, model.num_heads, model.causal) == (128, 4, True)


@pytest.mark.parametrize("depth", [0, -1, 1.5, True, None])
def test_wrong_depths(depth):
    with pytest.raises(ValueError, match="`depth` must be a positive integer"):
        of_depth(depth, vocabulary_size=31)
