"""`PlanSettings`: what is refused, and with which message."""

import pytest

from keras_performer.distribution import PlanSettings
from keras_performer.models.presets import PRESETS, preset

SMALL = {
    "topology": "v5e:2x4",
    "seq_len": 128,
    "batch": 8,
    "num_layers": 1,
    "hidden_dim": 24,
    "intermediate_dim": 36,
    "num_heads": 12,
    "vocabulary_size": 11,
}


@pytest.mark.parametrize("name", PRESETS)
def test_named_sizes_are_sound(name):
    PlanSettings("v5e:2x2", seq_len=8192, batch=4, **preset(name, vocabulary_size=257))


def test_the_devices_share_the_batch_and_the_heads():
    assert PlanSettings(**SMALL).data_parallel == 8
    assert PlanSettings(**SMALL, model_parallel=4).data_parallel == 2


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"topology": "v9:2x2"}, "v9:2x2"),
        ({"seq_len": 0}, "`seq_len` must be a positive integer. Received: 0"),
        ({"num_features": -1}, "`num_features`.*-1"),
        ({"batch": 12}, "`batch` must be a multiple.*12 and 8"),
        ({"hidden_dim": 26}, "`hidden_dim` must be a multiple of num_heads.*26 and 12"),
        ({"hidden_dim": 15, "num_heads": 3}, "`hidden_dim` must be even.*15"),
        ({"model_parallel": 3}, "devices` must be a multiple of model_parallel.*8 and"),
        ({"model_parallel": 8}, "`num_heads` must be a multiple.*12 and 8"),
        ({"model_parallel": 4, "intermediate_dim": 34}, "`intermediate_dim`.*34 and 4"),
        ({"attention": "none"}, "`attention` must be one of linear, exact.*'none'"),
        ({"step": "half"}, "`step` must be one of training, forward.*'half'"),
        ({"dtype": "int8"}, "`dtype` must be one of.*'int8'"),
        ({"dropout": 1.0}, "`dropout` must be a rate.*1.0"),
        ({"feature_map": "no_map"}, "no_map"),
    ],
)
def test_a_wrong_setting_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        PlanSettings(**{**SMALL, **wrong})


def test_the_old_name_of_linear_attention_warns():
    with pytest.warns(DeprecationWarning, match="now called `attention='lin") as caught:
        settings = PlanSettings(**SMALL, attention="favor")
    assert settings == PlanSettings(**SMALL)
    assert caught[0].filename == __file__
