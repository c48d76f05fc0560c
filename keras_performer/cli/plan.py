"""`keras-performer plan`: what a step takes of TPU chips, without having any."""

import argparse
import dataclasses
from typing import Any

from keras_performer.cli.output import json_output
from keras_performer.distribution import (
    CompilationError,
    PlanSettings,
    TpuTopology,
    compile_plan,
    longest_sequence,
)
from keras_performer.distribution.compiled_plan import CompiledPlan
from keras_performer.models.presets import preset

GIB = 2**30


def settings(arguments: argparse.Namespace) -> PlanSettings:
    """Returns the `PlanSettings` of parsed arguments."""
    given = {
        field.name: getattr(arguments, field.name)
        for field in dataclasses.fields(PlanSettings)
    }
    chosen = {name: value for name, value in given.items() if value is not None}
    return PlanSettings(**preset(arguments.preset, **chosen))


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; returns 1 where the step does not compile or fit."""
    with json_output(arguments.json) as write_json:
        plan = settings(arguments)
        topology = TpuTopology.parse(plan.topology)
        print(_headline(plan, topology), flush=True)
        found: dict[str, Any] = {"settings": dataclasses.asdict(plan)}
        found["available_bytes"] = topology.available_memory
        try:
            if arguments.find_longest:
                found |= _find_longest(plan, topology)
            else:
                print(
                    "Compiling, which takes minutes where there are many layers.",
                    flush=True,
                )
                compiled = compile_plan(plan)
                _print(compiled, topology)
                found |= {
                    "compiles": True,
                    **dataclasses.asdict(compiled),
                    "total": compiled.total,
                }
        except CompilationError as error:
            print(f"It does not compile. The compiler says:\n{error}")
            found |= {"compiles": False, "error": str(error)}
        if arguments.json:
            write_json(found)
    return 0 if found["compiles"] else 1


def _find_longest(plan: PlanSettings, topology: TpuTopology) -> dict[str, Any]:
    def report(length: int, compiled: CompiledPlan | None) -> None:
        outcome = "does not fit"
        if compiled is not None:
            outcome = f"{compiled.total / GIB:.2f} GiB a device"
        print(f"  {length:>12,} tokens: {outcome}", flush=True)

    fits, too_long = longest_sequence(plan, compile_plan, report)
    available = topology.available_memory / GIB
    if fits:
        print(
            f"{fits:,} tokens fit in {available:.2f} GiB a device; {too_long:,} do not."
        )
    else:
        print(f"No length fits in {available:.2f} GiB a device.")
    return {"compiles": bool(fits), "longest": fits, "too_long": too_long}


def _headline(plan: PlanSettings, topology: TpuTopology) -> str:
    model = (
        f"{plan.num_layers} layers, d {plan.hidden_dim}, d_ff {plan.intermediate_dim}, "
        f"{plan.num_heads} heads, {plan.vocabulary_size} tokens, {plan.dtype}"
    )
    attention = (
        f"{_attention(plan)}, "
        f"{'causal' if plan.causal else 'bidirectional'}, dropout {plan.dropout:g}"
        f"{', remat' if plan.remat else ''}"
    )
    step = (
        f"{plan.step} step of {plan.batch} x {plan.seq_len:,} tokens on {topology}: "
        f"{topology.num_chips} chips, {topology.num_devices} devices, "
        f"{plan.data_parallel} parts of the batch, {plan.model_parallel} of the heads"
    )
    return f"{model}\n{attention}\n{step}"


def _attention(plan: PlanSettings) -> str:
    if plan.attention == "exact":
        return "exact attention"
    features = "" if plan.num_features is None else f", {plan.num_features} features"
    return f"linear attention ({plan.feature_map}{features})"


def _print(compiled: CompiledPlan, topology: TpuTopology) -> None:
    available = topology.available_memory
    chip = f"{topology.chip_memory / GIB:g} GiB a chip"
    print("Memory of a device:")
    for name, size in (
        ("arguments", compiled.arguments),
        ("outputs", compiled.outputs),
        ("of these in place", -compiled.aliased),
        ("temporaries", compiled.temporaries),
        ("program", compiled.code),
    ):
        print(f"  {name:<20}{size / GIB:>10.3f} GiB")
    share = compiled.total / available
    print(
        f"  {'total':<20}{compiled.total / GIB:>10.3f} GiB, {share:.0%} of the "
        f"{available / GIB:.2f} GiB that a program may take ({chip})"
    )
    print(
        f"Matrix products of a step: {compiled.product_flops:.4g} FLOP on all devices, "
        f"{compiled.product_flops / topology.num_devices:.4g} on each"
    )
    print(
        "By the compiler's count, on each device and each loop's body once: "
        f"{compiled.flops:.4g} FLOP, {compiled.bytes_accessed:.4g} bytes accessed"
    )
