"""Topologies and the settings of a plan: what is refused, and in which words."""

import pytest

from keras_performer.distribution import PlanSettings, TpuTopology
from keras_performer.distribution.tpu_topology import GENERATIONS, GIB
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


@pytest.mark.parametrize(
    ("name", "chips", "devices"),
    [("v5e:4x4", 16, 16), ("v4:2x2x3", 12, 12), ("tpu7x:2x2x1", 4, 8)],
)
def test_a_topology_has_chips_and_devices(name, chips, devices):
    topology = TpuTopology.parse(name)
    assert (topology.num_chips, topology.num_devices) == (chips, devices)
    assert str(topology) == name


@pytest.mark.parametrize(
    "name", ["v5e", "v5e:", "v5e:4", "v5e:0x4", "v5e:4x-4", "v9:2x2", "v5e:2x2x2x2", ""]
)
def test_an_unknown_topology_is_refused(name):
    with pytest.raises(ValueError, match="such as v5e:4x4.*tpu7x"):
        TpuTopology.parse(name)


@pytest.mark.parametrize("generation", GENERATIONS)
def test_a_program_gets_most_of_the_memory(generation):
    topology = TpuTopology.parse(f"{generation}:2x2x1")
    devices = topology.num_devices // topology.num_chips
    shares = topology.available_memory * devices / topology.chip_memory
    assert 0.95 < shares < 1.01
    assert topology.chip_memory >= 16 * GIB


def test_one_chip_is_a_host_of_its_own():
    assert TpuTopology.parse("v5e:1x1").compiler_options == {
        "chips_per_host_bounds": [1, 1, 1]
    }
    assert TpuTopology.parse("v5e:2x2").compiler_options == {}


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
