"""SavedModels that take text, for TensorFlow Serving and this package's server."""

from keras_performer.export.causal_lm import export_causal_lm
from keras_performer.export.classifier import export_classifier
from keras_performer.export.version_folder import versions

__all__ = ["export_causal_lm", "export_classifier", "versions"]


def __dir__() -> list[str]:
    return sorted(__all__)
