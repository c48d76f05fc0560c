"""docs/architecture.md: each step of its walks is a file and a function that exist."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "architecture.md"
STEP = re.compile(r"^\d+\. `(\S+\.py)`, `([\w.]+)`:", re.MULTILINE)
MAX_STEPS = 10


def walks(text):
    """Steps of each section that has any: pairs of a path and a dotted name."""
    sections = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    found = {section.partition("\n")[0]: STEP.findall(section) for section in sections}
    return {title: steps for title, steps in found.items() if steps}


def defines(tree, dotted):
    """Whether a module has a function or class, or a class a method, of that name."""
    body = tree.body
    for name in dotted.split("."):
        nodes = [
            node
            for node in body
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
            and node.name == name
        ]
        if not nodes:
            return False
        body = nodes[0].body
    return True


def test_every_step_is_there():
    missing = []
    for title, steps in walks(PAGE.read_text(encoding="utf-8")).items():
        for path, name in steps:
            file = ROOT / "keras_performer" / path
            if not file.exists() or not defines(ast.parse(file.read_text()), name):
                missing.append(f"{title}: {path}, {name}")
    assert missing == []


def test_two_walks_of_at_most_ten_steps():
    text = PAGE.read_text(encoding="utf-8")
    found = walks(text)
    assert len(found) == 2
    assert all(len(steps) <= MAX_STEPS for steps in found.values())
    # A numbered line that names no file and function is no step.
    assert sum(map(len, found.values())) == len(
        re.findall(r"^\d+\. ", text, re.MULTILINE)
    )


def test_the_table_has_every_floor(modules):
    units = {name.split(".")[1] for name in (m.name for m in modules) if "." in name}
    rows = re.findall(
        r"^\| \d (.*?) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE
    )
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert named == units - {"__main__", "extras", "renamed"}


def test_a_missing_step_is_seen():
    text = "# A\n\n## Walk\n\n1. `a/b.py`, `C.d`: does.\n2. Nothing.\n"
    assert walks(text) == {"Walk": [("a/b.py", "C.d")]}
    tree = ast.parse("class C:\n    def d(self): ...")
    assert defines(tree, "C.d")
    assert not defines(tree, "C.e") and not defines(tree, "d")
