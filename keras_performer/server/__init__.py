"""A small server for SavedModel folders that answers as TensorFlow Serving does.

It knows nothing of how a model was made: the disk lies between. `serve` needs the
packages of the extra `serving`, and is imported when it is named; the client needs only
the standard library.
"""

import importlib
from typing import TYPE_CHECKING, Any

from keras_performer.server.client import ServerAnswerError, get_status, predict
from keras_performer.server.lean_imports import lean_imports
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


def __getattr__(name: str) -> Any:
    if name == "serve":
        with lean_imports():
            return importlib.import_module(f"{__name__}.server").serve
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
