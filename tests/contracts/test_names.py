"""The public names: what `__all__` promises exists, and changes only on purpose."""

import importlib
import re

import keras


def test_public_names(modules, snapshot):
    names = {}
    for module in modules:
        public = not any(part.startswith("_") for part in module.name.split("."))
        if public and re.search("^__all__", module.source, re.MULTILINE):
            imported = importlib.import_module(module.name)
            missing = [n for n in imported.__all__ if not hasattr(imported, n)]
            assert not missing, f"{module.name}.__all__ names {missing}, which it lacks"
            names[module.name] = sorted(imported.__all__)
    snapshot("public_names", names)


def test_a_package_shows_its_public_names_alone(modules):
    for module in modules:
        if module.path.name == "__init__.py" and module.name.count(".") == 1:
            imported = importlib.import_module(module.name)
            if hasattr(imported, "__all__"):
                assert dir(imported) == sorted(imported.__all__), module.name


def test_registered_names(modules, snapshot):
    # A saved model finds its classes under these names: a changed one breaks old files.
    for module in modules:
        if "register_keras_serializable" in module.source:
            importlib.import_module(module.name)
    registered = {
        name: f"{value.__module__}.{value.__qualname__}"
        for name, value in sorted(keras.saving.get_custom_objects().items())
        if value.__module__.startswith("keras_performer.")
    }
    snapshot("registered_names", registered)
