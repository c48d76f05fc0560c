"""The command line: what its flags reach, and what the user reads after a mistake."""

import dataclasses
import importlib
import json
import os
import re
import runpy
import shlex
import subprocess
import sys

import pytest

from keras_performer import server
from keras_performer.cli import main as command_line
from keras_performer.cli import train
from keras_performer.cli.arguments import serve as serve_flags
from keras_performer.cli.predict import read_text
from keras_performer.server import ServerOptions
from keras_performer.server.server_options import TENSORFLOW_SERVING_FLAGS
from keras_performer.training import ClassifierSettings, PretrainingSettings

FILE = "/no/such/file"


def parse(*arguments):
    return command_line.parser().parse_args(arguments)


COMMANDS = [module.__name__.rpartition(".")[2] for module in command_line.COMMANDS]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches(command, capsys):
    with pytest.raises(SystemExit) as end:
        command_line.main([command, "--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert len(text) > 500
    assert "default" in text
    if command != "demo":
        example = text.strip().splitlines()[-1]  # in one line, to be copied
        assert example.startswith(f"example: keras-performer {command} ")
        command_line.parser().parse_args(shlex.split(example)[2:])


def test_the_package_runs_as_the_command(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["keras_performer", "serve", "--rest_api_port=9"])
    with pytest.raises(SystemExit) as end:
        runpy.run_module("keras_performer", run_name="__main__")
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith("keras-performer serve: Nothing to serve")


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["predict", "--help"], ["predict", FILE]]
)
@pytest.mark.parametrize("how", ["module", "script"])
def test_what_needs_no_tensorflow_does_not_import_it(arguments, how):
    program = "import runpy, sys; sys.argv[0] = 'bin/keras-performer'\n"
    program += "from keras_performer.cli.main import main; main()"
    command = ["-c", program] if how == "script" else ["-m", "keras_performer"]
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *command, *arguments],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode in (0, 2)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "keras_performer.cli.main" in imported
    assert imported.isdisjoint({"tensorflow", "keras"})


def test_help_of_no_command_imports_tensorflow():
    program = """
import contextlib, io, sys
commands, sys.argv = sys.argv[1:], ["bin/keras-performer"]
from keras_performer.cli.main import main
for command in commands:
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
        main([command, "--help"])
print(sorted({"keras", "numpy", "tensorflow"} & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, *COMMANDS],
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "[]\n"


@pytest.mark.slow
def test_a_command_says_nothing_of_a_gpu_that_is_not_there(tmp_path):
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run(
        [sys.executable, "-m", "keras_performer", "export", "--run", FILE],
        check=False,
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
    )
    assert done.stderr.startswith("keras-performer export: ")


@pytest.mark.parametrize(
    ("command", "settings"),
    [("train", ClassifierSettings), ("pretrain", PretrainingSettings)],
)
def test_the_flags_of_trainings_have_the_defaults_of_the_settings(command, settings):
    parsed = vars(parse(command, "--data", "d", "--run", "r"))
    for field in dataclasses.fields(settings)[1:]:
        assert parsed[field.name] == field.default
        assert type(parsed[field.name]) is type(field.default)


def test_every_setting_has_a_flag_that_acts():
    values = {"tokenizer": "bytes", "feature_map": "softmax", "monitor": "loss"}
    values |= {"block": "plain", "class_weight": "balanced"}
    values |= {"mixed_precision": True, "pretrained": "/run"}
    values |= {"label_smoothing": 0.1, "token_dropout": 0.2}
    arguments = ["train", "--data", "d", "--run", "r"]
    # Class weights are for a single label alone, which has no separator.
    labels = {"problem": "multi_label", "label_separator": "|"}
    expected = {"data": None, "problem": "single_label", "label_separator": None}
    for field in dataclasses.fields(ClassifierSettings):
        if field.name in expected:
            continue
        value = values.get(field.name)
        if value is None:
            default = field.default if field.default is not None else 8
            value = type(default)(default * 2) if default else 3
            if isinstance(default, float):
                value = default / 2
        expected[field.name] = value
        flag = f"--{field.name.replace('_', '-')}"
        flag = "--from" if field.name == "pretrained" else flag
        arguments += [flag] if value is True else [flag, str(value)]
    made = dataclasses.asdict(train.settings(parse(*arguments), "d"))
    assert {**made, "data": None} == expected
    defaults = dataclasses.asdict(ClassifierSettings(data="d"))
    same = [name for name in made if made[name] == defaults[name]]
    assert same == list(labels)
    flags = ["--problem", "multi_label", "--label-separator", "|"]
    made = dataclasses.asdict(train.settings(parse(*arguments[:5], *flags), "d"))
    assert {name: made[name] for name in labels} == labels


def test_serve_takes_the_flags_of_the_options():
    parsed = parse(
        "serve", "--model_name=m", "--model_base_path=b", "--rest_api_port=0"
    )
    names = [field.name for field in dataclasses.fields(ServerOptions)]
    made = ServerOptions(**{name: getattr(parsed, name) for name in names})
    assert made == ServerOptions(model_name="m", model_base_path="b", rest_api_port=0)
    assert set(serve_flags.HELP) == set(names)
    for text, value in (("=true", True), ("=0", False), ("", True)):
        parsed = parse("serve", f"--enable_model_warmup{text}")
        assert parsed.enable_model_warmup is value


def test_serve_tells_its_address_as_json(monkeypatch, capsys):
    def serve(options, announce):
        print("a message")
        announce(["m"], "http://127.0.0.1:9")

    monkeypatch.setattr(server, "serve", serve, raising=False)
    flags = ["--model_name=m", "--model_base_path=b", "--json"]
    assert command_line.main(["serve", *flags]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"url": "http://127.0.0.1:9", "models": ["m"]}
    assert captured.err == "a message\n"


def test_serve_refuses_flags_that_only_tensorflow_serving_has(capsys):
    assert len(set(TENSORFLOW_SERVING_FLAGS)) == 48
    for flag in ("--grpc_max_threads=4", "--enable_profiler", "--use_alts_credentials"):
        with pytest.raises(SystemExit):
            parse("serve", flag)
        assert (
            f"{flag.partition('=')[0]}: tensorflow_model_server has this flag, "
            "keras-performer serve has not"
        ) in capsys.readouterr().err
    with pytest.raises(SystemExit):
        parse("serve", "--no_such_flag")
    assert "unrecognized arguments" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--data", "/no/such", "--run", "r"], "/no/such"),
        (["train", "--data", "d", "--run", "r", "--epochs", "0"], "epochs"),
        (["pretrain", "--data", "/no/such", "--run", "r"], "/no/such"),
        (["pretrain", "--data", "d", "--run", "r", "--masking-rate", "2"], "rate"),
        (["export", "--run", "/no/such/run"], "no run folder"),
        (["serve"], "model_base_path"),
        (["predict", "/no/such/file"], "/no/such/file"),
    ],
)
def test_a_mistake_gets_one_line_and_status_2(
    arguments, message, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert command_line.main(arguments) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.startswith(f"keras-performer {arguments[0]}: ")
    assert "Traceback" not in captured.err
    assert list(tmp_path.iterdir()) == []


def test_predict_names_the_file_that_is_not_text(tmp_path, capsys):
    path = tmp_path / "photo.txt"
    path.write_bytes(b"abc\xff\xfe")
    assert command_line.main(["predict", str(path)]) == 2
    error = capsys.readouterr().err
    assert re.search(r"photo\.txt.*not UTF-8.*byte 3", error)


def test_predict_reads_a_file_as_training_does(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("é", encoding="utf-8-sig")
    assert read_text(path) == "é"


def test_predict_without_a_server_says_how_to_start_one(tmp_path, capsys):
    path = tmp_path / "a.txt"
    path.write_text("hello")
    arguments = ["predict", "--url", "http://127.0.0.1:9", str(path)]
    assert command_line.main(arguments) == 2
    assert "keras-performer serve" in capsys.readouterr().err


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path):
    program = """
import sys
sys.argv[0] = "keras-performer"  # so that nothing imports TensorFlow
from keras_performer.cli import main, predict
def run(arguments):
    while True:
        print("a line")
predict.run = run
sys.exit(main.main(["predict", "file"]))
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"a line\n"
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


@pytest.mark.parametrize(
    ("command", "says"), [("train", True), ("pretrain", True), ("serve", False)]
)
def test_an_interrupted_training_says_what_comes_next(
    command, says, monkeypatch, capsys
):
    def interrupted(arguments):
        raise KeyboardInterrupt

    module = importlib.import_module(f"keras_performer.cli.{command}")
    monkeypatch.setattr(module, "run", interrupted)
    flags = ["--data", "d", "--run", "r"] if says else []
    assert command_line.main([command, *flags]) == 130
    error = capsys.readouterr().err
    assert "Interrupted" in error
    assert ("or from the start where there is none yet" in error) == says
