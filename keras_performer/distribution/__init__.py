"""One model on several devices, and ahead-of-time plans for TPUs."""

from keras_performer.distribution.compiled_plan import (
    CompilationError,
    CompiledPlan,
    compile_plan,
    longest_sequence,
)
from keras_performer.distribution.plan_settings import PlanSettings
from keras_performer.distribution.sequence_parallel import (
    sequence_parallel,
    sequence_parallel_attention,
)
from keras_performer.distribution.tpu_topology import TpuTopology

__all__ = [
    "CompilationError",
    "CompiledPlan",
    "PlanSettings",
    "TpuTopology",
    "compile_plan",
    "longest_sequence",
    "sequence_parallel",
    "sequence_parallel_attention",
]


def __dir__() -> list[str]:
    return sorted(__all__)
