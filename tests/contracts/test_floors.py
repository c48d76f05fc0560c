"""The architecture, read from the imports: a floor knows only the floors below it."""

import ast
from dataclasses import dataclass

import pytest

FLOORS = {
    "extras": -1,
    "renamed": -1,
    "ops": 0,
    "feature_maps": 1,
    "layers": 2,
    "models": 3,
    "text": 3,
    "callbacks": 3,
    "calibration": 4,
    "conversion": 4,
    "distribution": 4,
    "export": 4,
    "training": 4,
    "server": 5,
    "cli": 6,
    "__main__": 7,
}
# These know nothing of the rest of the package: ids and folders on disk lie between.
# But these: how to install a package that is missing, and old names of public things.
INDEPENDENT = {"server": {"extras"}, "text": {"extras", "renamed"}}
# The only packages that may be imported inside a function: they come with extras.
LATE = {
    "grpc",
    "matplotlib",
    "pyarrow",
    "sklearn",
    "tensorflow_serving",
    "tensorflow_text",
    "uvicorn",
}
# These import a part of theirs when it is named, since TensorFlow takes seconds.
LAZY = (
    "keras_performer",
    "keras_performer.server",
    "keras_performer.cli.main",
    "keras_performer.cli.predict",
)
MAX_NAMES_AT_PACKAGE_LEVEL = 16


@dataclass(frozen=True)
class Import:
    """One imported name: where, what, and whether inside a function."""

    line: int
    target: str  # dotted
    late: bool


def imports(tree, module_name, is_package):
    """The imports of a module, relative ones resolved, wherever they stand in it."""
    parts = module_name.split(".")
    package = parts if is_package else parts[:-1]
    found = []

    def visit(node, late):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found.append(Import(node.lineno, alias.name, late))
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                found.append(Import(node.lineno, f"{base}.{alias.name}", late))
        elif isinstance(node, ast.Call):
            function = getattr(node.func, "attr", getattr(node.func, "id", None))
            if function in ("import_module", "__import__") and node.args:
                # A computed name cannot be checked, so only a literal one may stand.
                target = node.args[0]
                known = isinstance(target, ast.Constant)
                target = str(target.value) if known else "<computed>"
                found.append(Import(node.lineno, target, late))
        inside = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for child in ast.iter_child_nodes(node):
            visit(child, late or inside)

    visit(tree, late=False)
    return found


def upward_imports(found, module_name):
    """Those imports of a module that do not lead to a floor below its own."""
    root, *rest = module_name.split(".")
    if not rest:
        return []  # the package's own __init__ gathers all floors
    unit = rest[0]
    wrong = []
    for each in found:
        target_root, *target = each.target.split(".")
        if target_root != root or target[:1] in ([unit], ["__version__"]):
            continue
        below = target and FLOORS.get(target[0], 99) < FLOORS[unit]
        if not below or (unit in INDEPENDENT and target[0] not in INDEPENDENT[unit]):
            wrong.append(f"line {each.line}: {module_name} imports {each.target}")
    return wrong


def late_imports(found):
    """Imports inside functions, of anything but the optional packages."""
    return [
        f"line {each.line}: {each.target}"
        for each in found
        if each.late and each.target.split(".")[0] not in LATE
    ]


def imported_roots(node):
    """Top-level names of the packages that an import statement imports."""
    if isinstance(node, ast.Import):
        return {alias.name.split(".")[0] for alias in node.names}
    if isinstance(node, ast.ImportFrom) and not node.level:
        return {node.module.split(".")[0]}
    return set()


def calls_pip_line(node):
    """Whether `extras.pip_line` is called somewhere in a syntax tree."""
    return any(
        isinstance(child, ast.Call)
        and getattr(child.func, "attr", getattr(child.func, "id", None)) == "pip_line"
        for child in ast.walk(node)
    )


def unexplained_late_imports(tree):
    """Packages imported late where no handler calls `pip_line`."""
    late, explained = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for child in ast.walk(node):
                late |= imported_roots(child)
        elif isinstance(node, ast.Try) and any(map(calls_pip_line, node.handlers)):
            for statement in node.body:
                explained |= imported_roots(statement)
    return sorted(late - explained)


def test_every_unit_has_a_floor(modules):
    units = {name.split(".")[1] for name in (m.name for m in modules) if "." in name}
    assert units <= set(FLOORS), "give the new unit its floor in FLOORS"


def test_the_package_has_few_names(modules):
    package = modules[0].path.parent
    names = {path.stem for path in package.iterdir() if path.name != "__pycache__"}
    assert len(names - {"__init__", "py"}) <= MAX_NAMES_AT_PACKAGE_LEVEL, sorted(names)


def test_imports_lead_downward(module):
    is_package = module.path.name == "__init__.py"
    found = imports(module.tree, module.name, is_package)
    assert upward_imports(found, module.name) == []


def test_only_optional_packages_are_imported_late(module):
    is_package = module.path.name == "__init__.py"
    late = late_imports(imports(module.tree, module.name, is_package))
    if module.name in LAZY:
        late = [each for each in late if not each.endswith("<computed>")]
    assert late == []


def test_a_missing_optional_package_names_its_pip_line(module):
    assert unexplained_late_imports(module.tree) == []


def test_no_assert_statement(module):
    # `python -O` removes them; users are answered with ValueError.
    lines = [n.lineno for n in ast.walk(module.tree) if isinstance(n, ast.Assert)]
    assert lines == []


# The rules themselves, seen to refuse what they forbid.


@pytest.mark.parametrize(
    ("module_name", "source"),
    [
        ("keras_performer.ops.causal", "from keras_performer import layers"),
        ("keras_performer.ops.causal", "from keras_performer.layers import x"),
        ("keras_performer.ops.causal", "import keras_performer.layers.x"),
        ("keras_performer.ops.causal", "from ..layers import x"),
        ("keras_performer.ops.causal", "from .. import layers"),
        ("keras_performer.ops.causal", "def f():\n  from ..layers import x"),
        ("keras_performer.ops.causal", "import_module('keras_performer.layers')"),
        ("keras_performer.ops.causal", "import keras_performer"),
        ("keras_performer.models.m", "from keras_performer.text import x"),
        ("keras_performer.text.bytes", "from keras_performer.ops import x"),
        ("keras_performer.server.rest", "from keras_performer.export import x"),
        ("keras_performer.server.rest", "from keras_performer.renamed import x"),
        ("keras_performer.extras", "from keras_performer.ops import x"),
        ("keras_performer.export.e", "from keras_performer.training import x"),
    ],
)
def test_upward_imports_are_seen(module_name, source):
    assert upward_imports(imports(ast.parse(source), module_name, False), module_name)


@pytest.mark.parametrize(
    ("module_name", "source"),
    [
        ("keras_performer.layers.fast_attention", "from keras_performer import ops"),
        ("keras_performer.server.rest", "from keras_performer.server import http"),
        ("keras_performer.server.rest", "from keras_performer.extras import x"),
        ("keras_performer.cli.main", "from keras_performer import __version__"),
        ("keras_performer.cli.main", "import keras_performer.server.rest"),
        ("keras_performer", "from keras_performer import layers"),
    ],
)
def test_downward_imports_are_allowed(module_name, source):
    found = imports(ast.parse(source), module_name, False)
    assert found
    assert upward_imports(found, module_name) == []


def test_late_imports_are_seen():
    found = imports(
        ast.parse("def f():\n  import os\n  import sklearn\n  import_module(name)"),
        "keras_performer.cli.main",
        False,
    )
    assert late_imports(found) == ["line 2: os", "line 4: <computed>"]


def test_unexplained_late_imports_are_seen():
    bare = "def f():\n  import sklearn"
    handled = (
        "def f():\n"
        "  try:\n    import sklearn\n"
        "  except ImportError as error:\n"
        "    raise ImportError({}) from error"
    )
    fixed = handled.format("\"pip install 'keras-performer[baselines]'\"")
    explained = handled.format("pip_line('baselines')")
    assert unexplained_late_imports(ast.parse(bare)) == ["sklearn"]
    assert unexplained_late_imports(ast.parse(fixed)) == ["sklearn"]
    assert unexplained_late_imports(ast.parse(explained)) == []


def test_relative_imports_are_resolved_from_a_package():
    tree = ast.parse("from .causal import f")
    [found] = imports(tree, "keras_performer.ops", is_package=True)
    assert found.target == "keras_performer.ops.causal.f"
