"""Linear-time attention for Keras: FAVOR+ layers, models, export and serving.

Importing the package registers its layers, models and feature maps, so that saved
files load. The other subpackages, some of which need extras, are imported when they are
named; in the process of the command `keras-performer`, which asks for help or an answer
of a server in less time than Keras takes to be imported, all of them are.
"""

__version__ = "0.1.0"

import importlib
import pathlib
import sys
from typing import TYPE_CHECKING


def _is_command() -> bool:
    """Whether this process is `keras-performer` or `python -m keras_performer`.

    Elsewhere nothing may be put off: registering the classes that saved files name
    needs Keras, which imports TensorFlow, and nothing tells of a later import of Keras.
    """
    if sys.argv[:1] == ["-m"]:
        return sys.orig_argv[sys.orig_argv.index("-m") + 1] == __name__
    return pathlib.Path(sys.argv[0] if sys.argv else "").name == "keras-performer"


if TYPE_CHECKING or not _is_command():
    from keras_performer import callbacks, feature_maps, layers, models, ops

if TYPE_CHECKING:
    from keras_performer import calibration as calibration
    from keras_performer import cli as cli
    from keras_performer import conversion as conversion
    from keras_performer import distribution as distribution
    from keras_performer import export as export
    from keras_performer import server as server
    from keras_performer import text as text
    from keras_performer import training as training

__all__ = ["callbacks", "feature_maps", "layers", "models", "ops"]

_LAZY = {
    "calibration",
    "cli",
    "conversion",
    "distribution",
    "export",
    "server",
    "text",
    "training",
}


def __getattr__(name):
    if name in _LAZY or name in __all__:
        return importlib.import_module(f"keras_performer.{name}")
    raise AttributeError(f"module 'keras_performer' has no attribute {name!r}")


def __dir__():
    return sorted({"__version__", *__all__, *_LAZY})
