"""`keras-performer plan`: its flags, its figures, and how it ends."""

import dataclasses
import json

import pytest

from keras_performer.cli import main as command_line
from keras_performer.cli import plan
from keras_performer.cli.arguments import plan as flags
from keras_performer.distribution import (
    CompilationError,
    CompiledPlan,
    PlanSettings,
    plan_settings,
)
from keras_performer.layers import transformer_block
from keras_performer.models import presets
from keras_performer.models.block_stack import BLOCKS

GIB = 2**30
COMMAND = ["plan", "--topology", "v5e:2x2", "--seq-len", "8192", "--batch", "4"]
PLAN = CompiledPlan(
    arguments=2 * GIB,
    outputs=2 * GIB,
    aliased=2 * GIB,
    temporaries=GIB,
    code=0,
    product_flops=8e15,
    flops=1e15,
    bytes_accessed=3e12,
)


@pytest.fixture
def planned(monkeypatch):
    """The settings of the compilations; all of at most 10,000 tokens fit."""
    settings = []

    def compile_plan(each):
        settings.append(each)
        if each.seq_len > 10_000:
            raise CompilationError("RESOURCE_EXHAUSTED: HBM: these are the words")
        return PLAN

    monkeypatch.setattr(plan, "compile_plan", compile_plan)
    return settings


def test_the_preset_is_what_flags_do_not_say(planned):
    assert command_line.main([*COMMAND, "--num-layers", "3", "--dropout", "0"]) == 0
    expected = PlanSettings(
        "v5e:2x2",
        seq_len=8192,
        batch=4,
        num_layers=3,
        hidden_dim=512,
        intermediate_dim=1024,
        num_heads=8,
        vocabulary_size=30,
        dropout=0.0,
    )
    assert planned == [expected]


def test_flags_have_the_choices_and_the_defaults_of_the_settings():
    assert set(flags.PRESETS) == set(presets.PRESETS)
    assert flags.ATTENTIONS == transformer_block.ATTENTIONS
    assert flags.STEPS == plan_settings.STEPS
    assert flags.DTYPES == plan_settings.DTYPES
    assert set(flags.BLOCKS) == set(BLOCKS)
    parsed = vars(command_line.parser().parse_args(COMMAND))
    for field in dataclasses.fields(PlanSettings):
        if parsed[field.name] is not None and field.name not in ("topology", "seq_len"):
            assert field.name == "batch" or parsed[field.name] == field.default


def test_every_setting_has_a_flag_that_acts(planned):
    given = PlanSettings(
        topology="v4:2x2x2",
        seq_len=96,
        batch=8,
        num_layers=3,
        hidden_dim=36,
        intermediate_dim=44,
        num_heads=6,
        vocabulary_size=13,
        causal=True,
        attention="exact",
        block="plain",
        feature_map="softmax",
        num_features=17,
        dropout=0.25,
        dtype="float32",
        remat=True,
        model_parallel=2,
        step="forward",
    )
    arguments = ["plan"]
    for name, value in dataclasses.asdict(given).items():
        flag = f"--{name.replace('_', '-')}"
        arguments += [flag] if value is True else [flag, str(value)]
    assert command_line.main(arguments) == 0
    assert planned == [given]
    small = PlanSettings("v5e:2x2", 8192, 4, **presets.preset("protein"))
    values, defaults = dataclasses.asdict(given), dataclasses.asdict(small)
    assert [name for name in values if values[name] == defaults[name]] == []


def test_a_preset_may_be_causal(planned):
    assert command_line.main([*COMMAND, "--preset", "imagenet64"]) == 0
    assert planned[0].causal


def test_memory_is_printed_against_the_chip(planned, capsys):
    assert command_line.main(COMMAND) == 0
    text = capsys.readouterr().out
    assert "3.000 GiB, 19% of the 15.75 GiB that a program may take (16 GiB" in text
    assert "8e+15 FLOP on all devices, 2e+15 on each" in text
    assert "1e+15 FLOP, 3e+12 bytes accessed" in text
    assert "36 layers" in text and "4 chips" in text


def test_what_does_not_fit_ends_with_1(planned, capsys):
    arguments = [*COMMAND[:4], "65536", *COMMAND[5:]]
    assert arguments[3:5] == ["--seq-len", "65536"]
    assert command_line.main(arguments) == 1
    captured = capsys.readouterr()
    assert "these are the words" in captured.out
    assert "Traceback" not in captured.out + captured.err


def test_json_has_what_is_printed(planned, capsys):
    assert command_line.main([*COMMAND, "--json"]) == 0
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert found["compiles"] and found["total"] == 3 * GIB
    assert found["settings"]["topology"] == "v5e:2x2"
    assert "Compiling" in captured.err
    assert command_line.main([*COMMAND[:4], "65536", *COMMAND[5:], "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert not found["compiles"] and "these are the words" in found["error"]
    assert command_line.main([*COMMAND, "--find-longest", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["longest"], found["too_long"]) == (9_728, 10_240)


def test_the_longest_sequence_is_printed(planned, capsys):
    assert command_line.main([*COMMAND, "--find-longest"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith("9,728 tokens fit in 15.75 GiB a device; 10,240 do")
    assert any("16,384 tokens: does not fit" in line for line in lines)
    assert len(planned) == 6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--topology", "v9:2x2"], "v9:2x2"),
        (["--batch", "3"], "`batch` must be a multiple"),
        (["--num-heads", "7"], "`hidden_dim` must be a multiple"),
        (["--model-parallel", "3"], "model_parallel"),
        (["--feature-map", "no_map"], "no_map"),
    ],
)
def test_a_mistake_gets_one_line_and_status_2(planned, arguments, message, capsys):
    assert command_line.main([*COMMAND, *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("keras-performer plan: ")
    assert message in error
    assert planned == []


@pytest.mark.parametrize("flag", ["--preset", "--attention", "--step", "--dtype"])
def test_an_unknown_choice_names_the_known(flag, capsys):
    with pytest.raises(SystemExit) as end:
        command_line.main([*COMMAND, flag, "other"])
    assert end.value.code == 2
    assert "choose from" in capsys.readouterr().err


def test_the_old_name_of_linear_attention_goes_on(planned):
    with pytest.warns(DeprecationWarning, match="now called `attention='linear'`"):
        assert command_line.main([*COMMAND, "--attention", "favor"]) == 0
    assert planned[0].attention == "linear"
