"""`TpuTopology`: chips and devices of a slice, by its name."""

import pytest

from keras_performer.distribution import TpuTopology
from keras_performer.distribution.tpu_topology import GENERATIONS, GIB


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
    with pytest.raises(ValueError, match=r"such as v5e:4x4.*tpu7x"):
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
