"""The commands of the benchmarks, as the pages and the Makefile have them."""

import ast
import re
from pathlib import Path

import pytest

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


def test_modules_are_read_from_commands():
    text = "`python -m benchmarks.layer.crossover --help` and -m benchmarks.memory"
    assert modules_named(text) == [
        "benchmarks/layer/crossover.py",
        "benchmarks/memory.py",
    ]
