"""`docs/multi_head_attention.md` says what becomes of each of Keras's own tests.

Its tables have a row for each test of the two files that Keras carries. The cell "as
installed" is what a run of them gave, `snapshots/keras_own_tests.json`: `pytest -m slow
tests/layers/test_keras_own_tests.py --update-snapshots` writes both.
"""

import ast
import json
import re
from pathlib import Path

import keras
import pytest

pytest.importorskip("keras.src.testing", reason="Keras's wheel carries none")
import keras_own_tests as own

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "docs" / "multi_head_attention.md"
SNAPSHOT = Path(__file__).parent / "snapshots" / "keras_own_tests.json"
ROW = re.compile(r"\| `(test_\w+)` \|")
BACKEND = keras.backend.backend()
# What Keras skips on TensorFlow: on JAX, by layer.
ON_JAX = {
    "test_basics_with_flash_attention": ("one weight more", "passes"),
    "test_flash_attention_with_errors": ("`flash_attention`", "`flash_attention`"),
}

pytestmark = pytest.mark.skipif(
    not all((own.FOLDER / file).exists() for file in own.FILES),
    reason=f"Keras {keras.__version__} comes without its tests",
)


def names_of_tests(source):
    """The names of the test functions and methods of a module."""
    return {
        node.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def run(file, layer):
    """The outcomes of a file: by test, and by what a case of it adds to its name."""
    tests, outcomes = own.test_class(file, layer), {}
    functions = names_of_tests((own.FOLDER / file).read_text(encoding="utf-8"))
    for case in own.names_of_cases(file, layer):
        test = max(filter(case.startswith, functions), key=len)
        keras.utils.set_random_seed(7)
        outcome = own.outcome(tests, case)
        outcomes.setdefault(test, {})[case.removeprefix(test).strip("_")] = outcome
    return outcomes


def cell(test, outcomes):
    """The cell of a test: an outcome, with the cases where these differ.

    Args:
        test: The name of one of Keras's tests.
        outcomes: Its outcomes, by layer and by case.
    """
    if test in ON_JAX:
        fast, exact = ON_JAX[test]
    else:
        fast, exact = (_in_words(outcomes[layer]) for layer in own.LAYERS)
    text = fast if fast == exact else f"{fast}; `ExactAttention`: {exact}"
    return f"on JAX, {text}" if test in ON_JAX else text


def _in_words(cases):
    kinds = sorted(set(cases.values()))
    names = {kind: [case for case in cases if cases[case] == kind] for kind in kinds}
    if len(kinds) == 1:
        return kinds[0]
    return ", ".join(f"{kind} (`{'`, `'.join(names[kind])}`)" for kind in kinds)


def section(text, file):
    """The part of the page about one of Keras's files."""
    return text.split(f"## `{file}`")[1].split("\n## ")[0]


def with_cells(text, saved):
    """The page, its second column as saved outcomes have it.

    Args:
        text: The page.
        saved: Outcomes by file, layer, test and case.
    """
    for file, outcomes in saved.items():
        part = new = section(text, file)
        for line in part.splitlines():
            test = ROW.match(line)
            if test and test[1] in outcomes["FastAttention"]:
                by_layer = {layer: outcomes[layer][test[1]] for layer in outcomes}
                cells = line.split(" | ")
                cells[1] = cell(test[1], by_layer)
                new = new.replace(line, " | ".join(cells))
        text = text.replace(part, new)
    return text


@pytest.mark.slow
@pytest.mark.skipif(BACKEND != "tensorflow", reason="the tables are TensorFlow's")
def test_what_becomes_of_the_tests_of_keras(snapshot, request):
    present = {
        file: {name: run(file, name) for name in own.LAYERS} for file in own.FILES
    }
    snapshot("keras_own_tests", present)
    if request.config.getoption("--update-snapshots"):
        text = TABLE.read_text(encoding="utf-8")
        TABLE.write_text(with_cells(text, present), encoding="utf-8")


@pytest.mark.skipif(BACKEND != "jax", reason="Keras skips them on TensorFlow")
@pytest.mark.parametrize("file", own.FILES)
@pytest.mark.parametrize("test", ON_JAX)
def test_what_becomes_of_what_keras_tests_on_jax(file, test):
    found = (own.outcome(own.test_class(file, layer), test) for layer in own.LAYERS)
    assert tuple(found) == ON_JAX[test]


def test_the_tables_are_those_of_the_run():
    text = TABLE.read_text(encoding="utf-8")
    saved = json.loads(SNAPSHOT.read_text(encoding="utf-8"))
    assert with_cells(text, saved) == text
    for file in own.FILES:
        lines = section(text, file).splitlines()
        rows = {row[1] for row in map(ROW.match, lines) if row}
        names = names_of_tests((own.FOLDER / file).read_text(encoding="utf-8"))
        assert rows == names
    for stop in own.STOPS:
        assert f"- {stop}: " in text, stop


def test_the_tables_name_tests_that_exist():
    references = re.findall(r"`(test_\w+\.py)::(test_\w+)`", TABLE.read_text("utf-8"))
    assert len(references) > 30
    for file, name in references:
        source = (ROOT / "tests" / "layers" / file).read_text(encoding="utf-8")
        assert name in names_of_tests(source), f"{file}::{name}"


def test_a_cell_tells_cases_apart():
    outcomes = {"a": "passes", "b": "one weight more", "c": "passes"}
    both = {"FastAttention": outcomes, "ExactAttention": dict.fromkeys("abc", "passes")}
    expected = "one weight more (`b`), passes (`a`, `c`); `ExactAttention`: passes"
    assert cell("test_x", both) == expected
    page = "## `a.py`\n\n| `test_x` | ? | why | where |\n## `b.py`\n"
    saved = {"a.py": {layer: {"test_x": cases} for layer, cases in both.items()}}
    assert f"| `test_x` | {expected} | why | where |" in with_cells(page, saved)
