"""A small server for SavedModel folders that answers as TensorFlow Serving does.

It knows nothing of how a model was made: the disk lies between. `serve` needs the
packages of the extra `serving`, and is imported when it is named; the client needs only
the standard library.
"""

import contextlib
import gc
import importlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from keras_performer.server.client import ServerAnswerError, get_status, predict
from keras_performer.server.server_options import ServerOptions
from keras_performer.server.server_process import ServerProcess

if TYPE_CHECKING:
    from keras_performer.server.server import serve

__all__ = [
    "ServerAnswerError",
    "ServerOptions",
    "ServerProcess",
    "get_status",
    "predict",
    "serve",
]


# TensorFlow imports them if they are there; the server needs none of their 260 MB.
_NOT_FOR_SERVING = ("keras", "jax", "scipy", "h5py")


def __getattr__(name: str) -> Any:
    if name == "serve":
        with _without(_NOT_FOR_SERVING), _no_garbage_collection():
            return importlib.import_module(f"{__name__}.server").serve
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


@contextlib.contextmanager
def _without(names: tuple[str, ...]) -> Iterator[None]:
    """Let packages seem not to be installed, unless they are imported already."""
    absent = [name for name in names if name not in sys.modules]
    modules: dict[str, Any] = sys.modules
    modules.update(dict.fromkeys(absent))
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]


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
