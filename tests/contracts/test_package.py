"""`keras_performer` itself: what its names are, and when each is imported."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import keras_performer

FIXTURES = Path(__file__).parents[1] / "layers" / "fixtures"
# What `import keras_performer` must not import: extras, and what only some need.
NOT_AT_ONCE = (
    "keras_performer.calibration",
    "keras_performer.cli",
    "keras_performer.distribution",
    "keras_performer.export",
    "keras_performer.server",
    "keras_performer.text",
    "keras_performer.training",
    "keras_hub",
    "matplotlib",
    "sklearn",
    "tensorflow_serving",
    "tensorflow_text",
    "uvicorn",
)


def in_fresh_process(source, *arguments):
    """What a process without any of our modules prints, read as JSON."""
    done = subprocess.run(
        [sys.executable, "-c", source, *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def subpackages(modules):
    """Names of the package's files and folders that a user may name."""
    names = {name.split(".")[1] for name in (m.name for m in modules) if "." in name}
    return {name for name in names if not name.startswith("_")} - {"extras", "renamed"}


def test_all_subpackages_are_shown_and_there(modules):
    shown = set(dir(keras_performer)) - {"__version__"}
    assert shown == subpackages(modules)
    pytest.importorskip("uvicorn")  # the server's extra
    for name in shown:
        assert getattr(keras_performer, name).__name__ == f"keras_performer.{name}"


def test_type_checkers_see_all_subpackages(modules):
    tree = modules[0].tree
    imported = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "keras_performer"
        for alias in node.names
    }
    assert imported == subpackages(modules)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"keras_performer.*'attention'"):
        keras_performer.attention  # noqa: B018


@pytest.mark.slow
def test_nothing_more_is_imported_at_once_and_all_when_named():
    source = """
import json, sys
import keras
before = set(sys.modules)  # Keras imports what it finds
import keras_performer
at_once = sorted(set(sys.modules) - before)
keras_performer.training.train_steps, keras_performer.text.ByteTokenizer
print(json.dumps([at_once, sorted(sys.modules)]))
"""
    at_once, later = in_fresh_process(source)
    assert sorted(set(at_once) & set(NOT_AT_ONCE)) == []
    assert {"keras_performer.training", "keras_performer.text"} <= set(later)


def test_a_process_that_imports_only_the_package_loads_saved_files():
    files = sorted(FIXTURES.glob("*.keras"))
    assert files
    source = """
import json, sys
import keras, keras_performer
loaded = [keras.saving.load_model(path) for path in sys.argv[1:]]
print(json.dumps([type(model).__name__ for model in loaded]))
"""
    assert len(in_fresh_process(source, *files)) == len(files)
