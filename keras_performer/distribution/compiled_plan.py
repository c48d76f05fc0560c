"""`CompiledPlan`: memory and operations of a step, from the compiler of a TPU."""

import dataclasses
import importlib.util
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable

from keras_performer.distribution.plan_settings import PlanSettings
from keras_performer.extras import pip_line

# The step is written for JAX, whatever backend this process has. The processor of this
# machine is the only device that JAX may look for; libtpu is to neither lock itself to
# one process nor ask the network which TPU it runs on.
ENVIRONMENT = {
    "KERAS_BACKEND": "jax",
    "JAX_PLATFORMS": "cpu",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    "TPU_SKIP_MDS_QUERY": "1",
}
COMPILER = "keras_performer.distribution.compile_step"


class CompilationError(RuntimeError):
    """Raised when a step does not compile.

    Args:
        message: The message of the compiler.
    """

    @property
    def out_of_memory(self) -> bool:
        """Whether the step needs more memory than the chip has."""
        message = str(self)
        return message.startswith("RESOURCE_EXHAUSTED") and "hbm" in message.lower()


@dataclasses.dataclass(frozen=True)
class CompiledPlan:
    """Memory and operations of a compiled step on each device.

    Args:
        arguments: Bytes of weights, optimizer state and batch.
        outputs: Bytes of outputs.
        aliased: Bytes of outputs that take the place of arguments.
        temporaries: Bytes of intermediate results, such as activations.
        code: Bytes of the program.
        product_flops: Operations of the matrix products of one step on all devices,
            each loop counted as often as it runs.
        flops: Operations on one device by the compiler's count, which counts the body
            of a loop once.
        bytes_accessed: Bytes of memory traffic on one device, counted likewise.
    """

    arguments: int
    outputs: int
    aliased: int
    temporaries: int
    code: int
    product_flops: float
    flops: float
    bytes_accessed: float

    @property
    def total(self) -> int:
        """Bytes of one device's memory that the step takes."""
        held = self.arguments + self.outputs - self.aliased
        return held + self.temporaries + self.code


def compile_plan(settings: PlanSettings) -> CompiledPlan:
    """Compiles a step with the compiler of its TPU; no TPU is needed.

    Args:
        settings: A `PlanSettings`.

    Returns:
        A `CompiledPlan`.

    Raises:
        CompilationError: If the step does not compile, with the compiler's message; its
            `out_of_memory` is True if it needs more memory than the device has.
        ImportError: If JAX or libtpu is not installed.
    """
    for package in ("jax", "libtpu"):
        if importlib.util.find_spec(package) is None:
            raise ImportError(
                f"Planning for a TPU needs its compiler, and {package} is not "
                f"installed: {pip_line('tpu')}"
            )
    with tempfile.TemporaryDirectory() as folder:
        result = pathlib.Path(folder, "result.json")
        done = subprocess.run(
            [sys.executable, "-m", COMPILER, str(result)],
            input=json.dumps(dataclasses.asdict(settings)),
            env={**os.environ, **ENVIRONMENT},
            check=False,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
        )
        if done.returncode or not result.exists():
            raise CompilationError(_last_lines(done))
        outcome = json.loads(result.read_text(encoding="utf-8"))
    if "error" in outcome:
        raise CompilationError(outcome["error"])
    return CompiledPlan(**outcome["measured"])


def longest_sequence(
    settings: PlanSettings,
    compile_plan: Callable[[PlanSettings], CompiledPlan],
    report: Callable[[int, CompiledPlan | None], None],
) -> tuple[int, int]:
    """The largest sequence that fits, by bisection.

    It doubles or halves the length of `settings` until one length fits and twice that
    length does not. Then it bisects the interval in between, until this is at most a
    sixteenth of the length that fits.

    Args:
        settings: A `PlanSettings`.
        compile_plan: `compile_plan`, or another callable that gives a plan or raises a
            `CompilationError`.
        report: Callable `(length, plan or None)`, called after each compilation.

    Returns:
        The longest length that was tried and fits, and the shortest that was tried and
        does not; 0 and 1 if no length fits.

    Raises:
        CompilationError: If a step does not compile for another reason than memory.
    """

    def fits(length: int) -> bool:
        plan = None
        try:
            plan = compile_plan(dataclasses.replace(settings, seq_len=length))
        except CompilationError as error:
            if not error.out_of_memory:
                raise
        report(length, plan)
        return plan is not None

    length = settings.seq_len
    if fits(length):
        low, high = length, 2 * length
        while fits(high):
            low, high = high, 2 * high
    else:
        low, high = length // 2, length
        while low and not fits(low):
            low, high = low // 2, low
    while high - low > max(low // 16, 1):
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low, high


def _last_lines(done: subprocess.CompletedProcess[str]) -> str:
    """Why a compiler ended without a result: the end of its output."""
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        return f"The compiler was ended by the signal {name}. " + "\n".join(lines[-3:])
    end = f"The compiler ended with status {done.returncode} and without a result."
    return "\n".join([end, *lines[-1:]])
