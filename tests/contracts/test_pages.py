"""The pages: a python block reads only names that its page has defined above it."""

import builtins
import dis
import re
import types
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
# What a reader brings is said above the block: "with your own `model` and `texts`".
YOUR_OWN = re.compile(r"your\s+own\s+((?:`\w+`(?:,?\s+and\s+|,\s+)?)+)")


def undefined(code, defined):
    """Names that code reads before they are there, in the order of its instructions.

    Args:
        code: Compiled code of a module, which is not run.
        defined: Set of the names that are there; those that the code defines join it.
    """
    missing, bodies = [], []
    for instruction in dis.get_instructions(code):
        name = instruction.argval
        if instruction.opname == "STORE_NAME":
            defined.add(name)
        elif instruction.opname in ("LOAD_NAME", "LOAD_GLOBAL"):
            if name not in defined and not hasattr(builtins, name):
                missing.append(name)
        elif isinstance(name, types.CodeType):
            bodies.append(name)
    # The body of a function may read what the block defines below it.
    for body in bodies:
        missing += undefined(body, set(defined))
    return missing


def undefined_on(page):
    """Names that the blocks of a page, run from its top, would not find."""
    defined, missing, end = set(), [], 0
    for block in BLOCK.finditer(page):
        for names in YOUR_OWN.findall(page[end : block.start()]):
            defined.update(re.findall(r"`(\w+)`", names))
        missing += undefined(compile(block[1], "block", "exec"), defined)
        end = block.end()
    return missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_block_runs_from_the_top_of_its_page(page):
    assert undefined_on(page.read_text(encoding="utf-8")) == []


def test_undefined_names_are_seen():
    first = "```python\nimport a.b as c\nx = [c.d(i) for i in range(n)]\n```\n"
    later = (
        "```python\ndef f(y):\n    return g(y, x, z)\n\n\ndef g(*_): ...\n"
        "f(x)\nlate\nlate = 1\n```\n"
    )
    assert undefined_on(first + later) == ["n", "late", "z"]
    assert undefined_on(later) == ["x", "late", "x", "z"]
    brought = "With your own `n`,\n`z`, and `late`:\n\n"
    assert undefined_on(brought + first + later) == []
    assert undefined_on(first + brought + later) == ["n"]
