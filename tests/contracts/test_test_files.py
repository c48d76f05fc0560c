"""A concept is a file, and has a test file of its name."""

import collections
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "keras_performer"
TESTS = Path(__file__).resolve().parents[1]
# One test file for what is one contract in several forms.
ONE_TEST_FILE = {
    "ops/backend": "ops/test_backend.py",
    "ops/projections": "ops/test_projections.py",
    "models/samplers": "models/test_samplers.py",
}


def expected_test(module):
    """Where the test of a module is to be, below `tests/`."""
    path = module.relative_to(PACKAGE)
    folder = path.parent.as_posix()
    return ONE_TEST_FILE.get(folder, f"{folder}/test_{path.name}")


@pytest.mark.parametrize("floor", ["ops", "layers", "models"])
def test_each_module_has_a_test_of_its_name(floor):
    modules = [p for p in (PACKAGE / floor).rglob("*.py") if p.stem != "__init__"]
    assert modules
    missing = [m for m in map(expected_test, modules) if not (TESTS / m).is_file()]
    assert missing == []


def test_names_of_test_files_are_unlike():
    """pytest imports them without their folders: of equal names it takes one alone."""
    counts = collections.Counter(path.name for path in TESTS.rglob("test_*.py"))
    assert [name for name, count in counts.items() if count > 1] == []
