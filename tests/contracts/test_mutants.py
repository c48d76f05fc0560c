"""The list of mutants is true: each can be made, and its test exists in `make test`."""

import ast
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))

from mutants import MUTANTS, PACKAGE, Mutant  # noqa: E402


@pytest.mark.parametrize("mutant", MUTANTS, ids=[m.name for m in MUTANTS])
def test_a_mutant_can_be_made(mutant):
    source = (PACKAGE / mutant.path).read_text("utf-8")
    ast.parse(mutant.apply(source))
    path, name = mutant.killed_by.split("::")
    tree = ast.parse((TESTS / path).read_text("utf-8"))
    tests = [n.name for n in tree.body if isinstance(n, ast.FunctionDef)]
    assert name.split("[")[0] in tests


def test_a_mutant_that_changes_nothing_is_refused():
    mutant = Mutant("ops/x.py", "a + b", "a - b", "ops/test_x.py::test_x")
    assert mutant.apply("c = a + b\n") == "c = a - b\n"
    with pytest.raises(ValueError, match="exactly once"):
        mutant.apply("c = a * b\n")
    with pytest.raises(ValueError, match="found 2 times"):
        mutant.apply("c = a + b\nd = a + b\n")
