"""The commands of the benchmarks, as the pages and the Makefile have them."""

import ast
import json
import re
import sys
from pathlib import Path

import pytest

from benchmarks.attention import compare

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("Makefile", "README.md", "benchmarks/README.md")


def modules_named(text):
    """Paths, below the root, of the modules that `python -m benchmarks...` runs."""
    names = re.findall(r"-m (benchmarks(?:\.\w+)+)", text)
    return sorted({f"{name.replace('.', '/')}.py" for name in names})


def is_script(path):
    """Whether a file can be run: it ends with a test of `__name__`."""
    last = ast.parse(path.read_text(encoding="utf-8")).body[-1]
    return isinstance(last, ast.If) and "__main__" in ast.unparse(last.test)


@pytest.mark.parametrize("page", PAGES)
def test_commands_name_scripts(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    assert not re.search(r"python benchmarks/", text), "run them with `python -m`"
    wrong = [
        name
        for name in modules_named(text)
        if not (ROOT / name).exists() or not is_script(ROOT / name)
    ]
    assert wrong == []


def test_every_script_has_its_command_in_the_readme():
    named = modules_named((ROOT / "benchmarks/README.md").read_text(encoding="utf-8"))
    scripts = [
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "benchmarks").rglob("*.py")
        if ".environments" not in path.parts and "peers" not in path.parts
        if path.name != "__init__.py" and is_script(path)
    ]
    assert sorted(scripts) == named


class FakeSweep:
    """Measures nothing; ends the process, as a limit of time does, at a point."""

    timed = ()
    ended_at = 64

    def __init__(self, *arguments, **keywords):
        self.versions, self.absent, self.over = {"ours": "1"}, {}, {}

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass

    def open(self):
        pass

    def times(self, pass_name, length):
        if length == self.ended_at:
            raise KeyboardInterrupt
        self.timed.append((pass_name, length))
        return {"ours": {"seconds": [1.0] * 3, "cpu_seconds": [2.0] * 3}}


def test_a_comparison_that_was_ended_goes_on(tmp_path, monkeypatch, capsys):
    output = tmp_path / "attention.json"
    command = "compare --forms causal --passes forward --measures time --lengths"
    command = [*command.split(), "32", "64", "128", "--output", str(output)]
    monkeypatch.setattr(sys, "argv", command)
    monkeypatch.setattr(compare, "Sweep", FakeSweep)
    monkeypatch.setattr(FakeSweep, "timed", [])
    with pytest.raises(KeyboardInterrupt):
        compare.main()
    assert "| 32 |" in capsys.readouterr().out
    [point] = json.loads(output.read_text())["forms"]["causal"]["points"]
    assert point["length"] == 32
    monkeypatch.setattr(FakeSweep, "ended_at", None)
    compare.main()
    assert FakeSweep.timed == [("forward", 32), ("forward", 64), ("forward", 128)]
    monkeypatch.setattr(sys, "argv", [*command, "--threads", "1"])
    with pytest.raises(SystemExit, match="another command"):
        compare.main()


def test_modules_are_read_from_commands():
    text = "`python -m benchmarks.layer.crossover --help` and -m benchmarks.memory"
    assert modules_named(text) == [
        "benchmarks/layer/crossover.py",
        "benchmarks/memory.py",
    ]
