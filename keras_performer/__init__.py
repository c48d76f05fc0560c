"""Linear-time attention for Keras: FAVOR+ layers, models, export and serving.

Importing the package registers its layers, models and feature maps, so that saved
files load. The other subpackages, some of which need extras, are imported when they are
named.
"""

__version__ = "0.1.0"

import importlib
from typing import TYPE_CHECKING

from keras_performer import callbacks, feature_maps, layers, models, ops

if TYPE_CHECKING:
    from keras_performer import calibration as calibration
    from keras_performer import cli as cli
    from keras_performer import distribution as distribution
    from keras_performer import export as export
    from keras_performer import server as server
    from keras_performer import text as text
    from keras_performer import training as training

__all__ = ["callbacks", "feature_maps", "layers", "models", "ops"]

_LAZY = {"calibration", "cli", "distribution", "export", "server", "text", "training"}


def __getattr__(name):
    if name in _LAZY:
        return importlib.import_module(f"keras_performer.{name}")
    raise AttributeError(f"module 'keras_performer' has no attribute {name!r}")


def __dir__():
    return sorted({"__version__", *__all__, *_LAZY})
