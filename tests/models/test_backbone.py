"""`Backbone`: attributes and configs of both backbones, of before too."""

import json

import pytest
from test_performer_backbone import VOCABULARY, backbone

from keras_performer.models import PerformerBackbone, PerformerSeq2SeqBackbone


@pytest.mark.parametrize("make", [PerformerBackbone, PerformerSeq2SeqBackbone])
def test_the_config_has_an_entry_for_each_attribute(make):
    model = make(VOCABULARY, 2, 3, 18, 23, feature_map=["relu", "softmax"])
    config = json.loads(json.dumps(model.get_config()))
    for name in set(config) - {"feature_map", "activation", "dtype"}:
        assert getattr(model, name) == config[name], name
    assert model.feature_map == make.from_config(config).feature_map


def test_redraws_are_of_blocks_with_random_features():
    assert backbone(attention=["exact", "linear"]).redraws
    assert not backbone(attention="exact").redraws
    assert not backbone(attention="linear", feature_map="relu").redraws
    maps = ["softmax", "relu"]
    assert not backbone(attention=["exact", "linear"], feature_map=maps).redraws


@pytest.mark.parametrize(
    ("old", "new"),
    [("favor", "linear"), (["exact", "favor"], ["exact", "linear"])],
    ids=str,
)
@pytest.mark.parametrize("make", [PerformerBackbone, PerformerSeq2SeqBackbone])
def test_the_old_name_of_linear_attention(make, old, new):
    arguments = {
        "vocabulary_size": VOCABULARY,
        "num_layers": 2,
        "num_heads": 3,
        "hidden_dim": 18,
        "intermediate_dim": 23,
    }
    with pytest.warns(DeprecationWarning, match="now called `attention='lin") as caught:
        model = make(**arguments, attention=old)
    assert model.attention == new
    assert [each.filename for each in caught] == [__file__]
    # A file of before has the old name in its config: it loads without a warning.
    config = {**model.get_config(), "attention": old}
    assert make.from_config(config).attention == new
    del config["attention"]
    assert make.from_config(config).attention == "linear"


def test_a_preset_with_the_old_name_of_linear_attention():
    with pytest.warns(DeprecationWarning, match="now called `attention='linear'`"):
        model = PerformerBackbone.from_preset(
            "tiny", vocabulary_size=VOCABULARY, num_layers=1, attention="favor"
        )
    assert model.attention == "linear"
