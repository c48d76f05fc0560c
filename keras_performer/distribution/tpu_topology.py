"""`TpuTopology`: a slice of TPU chips by its name, such as `v5e:4x4`."""

import dataclasses
import math
import re
from typing import Any

GIB = 2**30


@dataclasses.dataclass(frozen=True)
class TpuGeneration:
    """One generation of TPU chips.

    Args:
        chip_gib: Memory of a chip in GiB.
        available_gib: Memory of a device in GiB that the compiler gives to a program,
            according to its message when a program is too large.
        devices_per_chip: Devices that JAX sees of a chip.
        compiler_options: Dictionary of options of the compiler.
    """

    chip_gib: int
    available_gib: float
    devices_per_chip: int = 1
    compiler_options: dict[str, Any] = dataclasses.field(default_factory=dict)


# The two cores of a v4 chip are one device to JAX on a TPU, but not to the compiler
# without this option. Those of a tpu7x chip are two devices.
GENERATIONS = {
    "v4": TpuGeneration(32, 30.75, compiler_options={"chip_config_name": "megacore"}),
    "v5e": TpuGeneration(16, 15.75),
    "v5p": TpuGeneration(95, 95.73),
    "v6e": TpuGeneration(32, 31.24),
    "tpu7x": TpuGeneration(192, 94.74, devices_per_chip=2),
}


@dataclasses.dataclass(frozen=True)
class TpuTopology:
    """A slice of TPU chips.

    Args:
        generation: Name in `GENERATIONS`.
        shape: Tuple of the numbers of chips along each axis.

    Example:

    >>> topology = TpuTopology.parse("v5e:4x4")
    >>> topology.num_chips, topology.num_devices, str(topology)
    (16, 16, 'v5e:4x4')
    """

    generation: str
    shape: tuple[int, ...]

    @classmethod
    def parse(cls, name: str) -> "TpuTopology":
        """Returns the topology of a name.

        Args:
            name: `<generation>:<chips>x<chips>`, with a third factor where the slices
                of the generation have three axes, as `v4:2x2x1`.

        Raises:
            ValueError: If the name is of another form or names no known generation.
        """
        match = re.fullmatch(r"([^:]+):([1-9]\d*(?:x[1-9]\d*){1,2})", name)
        if match is None or match[1] not in GENERATIONS:
            raise ValueError(
                "The topology must be <generation>:<chips>x<chips>, such as v5e:4x4 or "
                f"v4:2x2x1, with a generation of {', '.join(GENERATIONS)}. Received: "
                f"{name!r}"
            )
        return cls(match[1], tuple(int(size) for size in match[2].split("x")))

    @property
    def num_chips(self) -> int:
        """Number of chips."""
        return math.prod(self.shape)

    @property
    def num_devices(self) -> int:
        """Number of devices that JAX sees."""
        return self.num_chips * GENERATIONS[self.generation].devices_per_chip

    @property
    def chip_memory(self) -> int:
        """Bytes of memory of a chip."""
        return GENERATIONS[self.generation].chip_gib * GIB

    @property
    def available_memory(self) -> int:
        """Bytes of memory of a device that a program may take."""
        return int(GENERATIONS[self.generation].available_gib * GIB)

    @property
    def compiler_options(self) -> dict[str, Any]:
        """Options of the compiler beside the topology's name."""
        options = dict(GENERATIONS[self.generation].compiler_options)
        if self.num_chips == 1:  # otherwise it looks for the four chips of a host
            options["chips_per_host_bounds"] = [1, 1, 1]
        return options

    def __str__(self) -> str:
        return f"{self.generation}:{'x'.join(map(str, self.shape))}"
