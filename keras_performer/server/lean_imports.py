"""What is not imported for serving, though TensorFlow would import it.

`import tensorflow` loads all of its interface, and what else is installed; the server
needs sessions, types and messages (`tensorflow_core`), for which it starts in less time
and holds 360 MB less.
"""

import contextlib
import gc
import importlib.util
import sys
from collections.abc import Iterator
from typing import Any

_TENSORFLOW = "tensorflow"

# TensorFlow imports them if they are there.
_NOT_FOR_SERVING = ("keras", "jax", "scipy", "h5py")


@contextlib.contextmanager
def lean_imports() -> Iterator[None]:
    """Import what the server needs, and no more, unless it is imported already."""
    absent = [name for name in _NOT_FOR_SERVING if name not in sys.modules]
    modules: dict[str, Any] = sys.modules
    modules.update(dict.fromkeys(absent))  # as if they were not installed
    _put_off_interface()
    try:
        with _no_garbage_collection():
            yield
    finally:
        for name in absent:
            del sys.modules[name]


def _put_off_interface() -> None:
    """Let modules of TensorFlow be imported without its interface.

    That is loaded when someone asks for a name of it, which the server does not.
    """
    spec = None if _TENSORFLOW in sys.modules else importlib.util.find_spec(_TENSORFLOW)
    loader = None if spec is None else spec.loader
    if spec is None or loader is None:  # whoever imports it is told what is missing
        return
    module = importlib.util.module_from_spec(spec)

    def load(name: str) -> Any:
        if name.startswith("__"):  # what imports look for
            raise AttributeError(f"module {_TENSORFLOW!r} has no attribute {name!r}")
        vars(module).pop("__getattr__", None)
        loader.exec_module(module)
        return getattr(module, name)

    vars(module)["__getattr__"] = load
    sys.modules[_TENSORFLOW] = module


@contextlib.contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Do not look for garbage: there is none among thousands of new modules."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
