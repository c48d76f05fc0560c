"""What knows its backend, or the inside of Keras, stands in one folder."""

import ast

import pytest
from test_floors import imports

FOLDER = "keras_performer.ops.backend"
DOOR = f"{FOLDER}.keras_internals"
# These run on every backend of Keras.
PORTABLE = (
    "ops",
    "feature_maps",
    "layers",
    "models",
    "callbacks",
    "calibration",
    "conversion",
    "renamed",
)
BACKENDS = {"tensorflow", "jax", "torch"}
ASKING = {"keras.backend.backend", "backend.backend", "keras.config.backend"}


def backend_imports(tree):
    """Lines that import a backend, or ask Keras which one it has."""
    found = []
    for each in imports(tree, "keras_performer.x", is_package=False):
        if each.target.split(".")[0] in BACKENDS:
            found.append(f"line {each.line}: {each.target}")
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and not node.args:
            name = ast.unparse(node.func)
            if name in (
                "keras.backend.backend",
                "backend.backend",
                "keras.config.backend",
            ):
                found.append(f"line {node.lineno}: {name}()")
    return found


def internal_imports(tree):
    """Lines that import from `keras.src` or read it as an attribute."""
    found = [
        f"line {each.line}: {each.target}"
        for each in imports(tree, "keras_performer.x", is_package=False)
        if each.target.startswith("keras.src")
    ]
    return found + [
        f"line {node.lineno}: {ast.unparse(node)}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "keras.src"
    ]


def test_one_folder_knows_its_backend(module):
    unit = module.name.split(".")[1:2]
    if unit and unit[0] in PORTABLE and not module.name.startswith(FOLDER):
        assert backend_imports(module.tree) == []


def test_one_module_is_the_door_to_what_keras_does_not_export(module):
    found = internal_imports(module.tree)
    assert bool(found) == (module.name == DOOR), found


@pytest.mark.parametrize(
    "source",
    [
        "import tensorflow as tf",
        "import jax.numpy",
        "from torch.utils import checkpoint",
        "def f():\n  import jax",
        "if keras.backend.backend() == 'jax': pass",
        "keras.config.backend()",
    ],
)
def test_a_backend_is_seen(source):
    assert backend_imports(ast.parse(source))
    assert backend_imports(ast.parse("import keras\nkeras.ops.ones(1)")) == []


@pytest.mark.parametrize(
    "source",
    [
        "import keras.src",
        "from keras.src.utils import tree",
        "from keras import src",
        "import keras\nkeras.src.backend",
    ],
)
def test_the_inside_of_keras_is_seen(source):
    assert internal_imports(ast.parse(source))
    assert internal_imports(ast.parse("from keras import ops")) == []
