"""Plans around the compiler: its process, its failures, and the search for a length."""

import dataclasses
import importlib.util
import json
import os

import pytest

from keras_performer.distribution import (
    CompilationError,
    CompiledPlan,
    PlanSettings,
    compile_plan,
    compiled_plan,
    longest_sequence,
)

SETTINGS = PlanSettings(
    topology="v5e:2x2",
    seq_len=1024,
    batch=4,
    num_layers=1,
    hidden_dim=24,
    intermediate_dim=36,
    num_heads=3,
    vocabulary_size=11,
)
PLAN = CompiledPlan(
    arguments=70,
    outputs=50,
    aliased=40,
    temporaries=13,
    code=5,
    product_flops=1e9,
    flops=1e8,
    bytes_accessed=1e7,
)
TOO_LARGE = "RESOURCE_EXHAUSTED: Ran out of memory on HBM: 17G exceeds 15.75G."


@pytest.fixture
def compiler(tmp_path, monkeypatch):
    """A function that puts a program in the place of the compiler's."""
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name: name if name in ("jax", "libtpu") else find_spec(name),
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(compiled_plan, "COMPILER", "other_compiler")

    def write(program):
        (tmp_path / "other_compiler.py").write_text(program)

    return write


def test_the_compiler_gets_the_settings_and_jax(compiler, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    measured = dataclasses.asdict(PLAN)
    compiler(
        "import json, os, sys\n"
        "settings = json.load(sys.stdin)\n"
        f"assert settings == json.loads({json.dumps(dataclasses.asdict(SETTINGS))!r})\n"
        "assert os.environ['KERAS_BACKEND'] == 'jax'\n"
        "assert os.environ['ALLOW_MULTIPLE_LIBTPU_LOAD'] == '1'\n"
        f"json.dump({{'measured': {measured}}}, open(sys.argv[1], 'w'))\n"
    )
    assert compile_plan(SETTINGS) == PLAN
    assert os.environ["KERAS_BACKEND"] == "tensorflow"


def test_outputs_in_the_place_of_arguments_count_once():
    assert PLAN.total == 70 + 50 - 40 + 13 + 5


def test_the_words_of_the_compiler_are_passed_on(compiler):
    compiler(
        "import json, sys\n"
        f"json.dump({{'error': {TOO_LARGE!r}}}, open(sys.argv[1], 'w'))\n"
    )
    with pytest.raises(CompilationError, match=r"17G exceeds 15.75G") as raised:
        compile_plan(SETTINGS)
    assert raised.value.out_of_memory


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("raise SystemError('the words')", "SystemError: the words"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "SIGKILL"),
        ("", "without a result"),
    ],
)
def test_a_compiler_that_breaks_says_how(compiler, program, message):
    compiler(program)
    with pytest.raises(CompilationError, match=message) as raised:
        compile_plan(SETTINGS)
    assert not raised.value.out_of_memory


@pytest.mark.parametrize("package", ["jax", "libtpu"])
def test_a_missing_compiler_names_its_extra(package, monkeypatch):
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == package else name
    )
    message = rf"{package} is not.*pip install .*\[tpu\]"
    with pytest.raises(ImportError, match=message):
        compile_plan(SETTINGS)


def compiler_with_room_for(length):
    def compile_plan(settings):
        assert dataclasses.replace(settings, seq_len=1024) == SETTINGS
        if settings.seq_len > length:
            raise CompilationError(TOO_LARGE)
        return PLAN

    return compile_plan


@pytest.mark.parametrize("length", [1, 3, 37, 1023, 1024, 1025, 70_001])
def test_the_longest_sequence_is_found(length):
    tried = {}
    compile_plan = compiler_with_room_for(length)
    low, high = longest_sequence(SETTINGS, compile_plan, tried.__setitem__)
    assert tried[low] is PLAN and tried[high] is None
    assert low <= length < high
    assert high - low <= max(low // 16, 1)
    assert len(tried) <= 2 * 11


def test_nothing_fits_where_no_token_fits():
    tried = {}
    compile_plan = compiler_with_room_for(0)
    assert longest_sequence(SETTINGS, compile_plan, tried.__setitem__) == (0, 1)
    assert set(tried.values()) == {None}


def test_another_error_ends_the_search():
    def compile_plan(settings):
        raise CompilationError("INVALID_ARGUMENT: the words")

    with pytest.raises(CompilationError, match="the words"):
        longest_sequence(SETTINGS, compile_plan, print)
