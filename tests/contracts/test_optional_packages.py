"""The extras stay optional: what needs one says so, and all else works without it."""

import ast
import json
import subprocess
import sys

EXTRAS = (
    "matplotlib",
    "official",
    "pyarrow",
    "sklearn",
    "tensorflow_serving",
    "tensorflow_text",
    "uvicorn",
)
# One module of `ops.backend` belongs to each Keras backend.
OTHER_BACKENDS = ("jax", "torch")

IMPORT_ALL = """
import importlib, json, sys
extras, names = (argument.split() for argument in sys.argv[1:])
sys.modules.update(dict.fromkeys(extras))  # importing them raises ImportError
failures = {}
for name in names:
    try:
        importlib.import_module(name)
    except ImportError as error:
        failures[name] = str(error)
print(json.dumps(failures))
"""


def imports_at_top(module, packages):
    roots = set()
    for node in module.tree.body:
        if isinstance(node, ast.Import):
            roots |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            roots.add(node.module.split(".")[0])
    return not roots.isdisjoint(packages)


def failures_without(extras, names):
    """Imports modules in a fresh process; returns the errors of those that fail."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, " ".join(extras), " ".join(names)],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_what_needs_an_extra_says_so(modules):
    names = [m.name for m in modules if not imports_at_top(m, OTHER_BACKENDS)]
    failures = failures_without(EXTRAS, names)
    # Only the server may need its extra to be imported: nothing else imports it first.
    elsewhere = {n: e for n, e in failures.items() if ".server" not in n}
    assert elsewhere == {}
    silent = {n: e for n, e in failures.items() if "pip install" not in e}
    assert silent == {}


def test_a_missing_package_is_seen():
    failures = failures_without(["wave"], ["json", "wave"])
    assert list(failures) == ["wave"]
