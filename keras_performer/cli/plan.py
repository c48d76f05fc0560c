"""`keras-performer plan`: what a step takes of TPU chips, without having any."""

import argparse
import dataclasses
from typing import Any

from keras_performer.cli.flags import Commands, HelpFormatter
from keras_performer.distribution import (
    CompilationError,
    PlanSettings,
    TpuTopology,
    compile_plan,
    longest_sequence,
)
from keras_performer.distribution.compiled_plan import CompiledPlan
from keras_performer.distribution.plan_settings import (
    DTYPES,
    STEPS,
)
from keras_performer.layers.attention_kinds import ATTENTIONS, current_attention
from keras_performer.models.block_stack import BLOCKS
from keras_performer.models.presets import PRESETS, preset

GIB = 2**30
OF_MODEL = {
    "num_layers": "blocks",
    "hidden_dim": "features of a position",
    "intermediate_dim": "hidden size of the feed-forward networks",
    "num_heads": "attention heads of a block",
    "vocabulary_size": "number of token ids",
}


def add_parser(commands: Commands, summary: str) -> None:
    """Adds the command to an `argparse` subparsers object, with a line about it."""
    parser = commands.add_parser(
        "plan",
        help=summary,
        description="Compiles the whole step of a model (forward, loss, gradients, "
        "Adam's update) ahead of time with the compiler of TPUs, and prints what it "
        "takes of each device. No TPU is needed. Exit status 1: it does not compile, "
        "or does not fit; the compiler's words say why. Needs the extra "
        "keras-performer[tpu].",
        epilog="example: keras-performer plan --topology v5e:4x4 --preset protein "
        "--seq-len 65536 --batch 16 --remat",
        formatter_class=HelpFormatter,
    )
    add = parser.add_argument
    add(
        "--topology",
        required=True,
        help="chips, such as v5e:4x4, v4:2x2x1, v5p:2x2x2, v6e:8x8 or tpu7x:2x2x1",
    )
    add(
        "--seq-len",
        type=int,
        required=True,
        help="tokens of a sequence; with --find-longest where the search starts",
    )
    add(
        "--batch",
        type=int,
        required=True,
        help="sequences of a step, on all chips together",
    )
    add(
        "--preset",
        default="protein",
        choices=PRESETS,
        help="sizes of the model; the flags that follow change one of them each",
    )
    for name, text in OF_MODEL.items():
        add(f"--{name.replace('_', '-')}", type=int, help=f"{text} (the preset's)")
    add(
        "--causal",
        action="store_true",
        default=None,
        help="a position sees those at and before it only (the preset's)",
    )
    add(
        "--attention",
        type=current_attention,
        default=_default("attention"),
        choices=ATTENTIONS,
        help="linear, or that of softmax",
    )
    for name, choices, text in (
        ("block", tuple(BLOCKS), "kind of the blocks"),
        ("step", STEPS, "training, or a forward pass alone"),
        ("dtype", DTYPES, "dtype policy of the layers"),
    ):
        add(f"--{name}", default=_default(name), choices=choices, help=text)
    add("--feature-map", default=_default("feature_map"), help="by its name")
    add("--num-features", type=int, help="random features of a head (default: D log D)")
    add("--dropout", type=float, default=_default("dropout"), help="dropout rate")
    add(
        "--remat",
        action="store_true",
        help="compute each block again in the backward pass instead of keeping it",
    )
    add(
        "--model-parallel",
        type=int,
        default=_default("model_parallel"),
        help="devices that share the heads of one model; the others share the batch",
    )
    add(
        "--find-longest",
        action="store_true",
        help="look for the longest sequence that fits; each trial is a compilation",
    )
    parser.set_defaults(run=run)


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
    plan = settings(arguments)
    topology = TpuTopology.parse(plan.topology)
    print(_headline(plan, topology), flush=True)
    try:
        if arguments.find_longest:
            return _print_longest(plan, topology)
        print("Compiling, which takes minutes where there are many layers.", flush=True)
        _print(compile_plan(plan), topology)
    except CompilationError as error:
        print(f"It does not compile. The compiler says:\n{error}")
        return 1
    return 0


def _print_longest(plan: PlanSettings, topology: TpuTopology) -> int:
    def report(length: int, compiled: CompiledPlan | None) -> None:
        outcome = "does not fit"
        if compiled is not None:
            outcome = f"{compiled.total / GIB:.2f} GiB a device"
        print(f"  {length:>12,} tokens: {outcome}", flush=True)

    fits, too_long = longest_sequence(plan, compile_plan, report)
    available = topology.available_memory / GIB
    if not fits:
        print(f"No length fits in {available:.2f} GiB a device.")
        return 1
    print(f"{fits:,} tokens fit in {available:.2f} GiB a device; {too_long:,} do not.")
    return 0


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


def _default(name: str) -> Any:
    fields = dataclasses.fields(PlanSettings)
    return next(field.default for field in fields if field.name == name)
