"""Measured errors of linear attention, and feature maps fitted to data."""

from keras_performer.calibration.adapt import adapt
from keras_performer.calibration.approximation import Approximation, Head
from keras_performer.calibration.measure_approximation import measure_approximation
from keras_performer.calibration.recording import Recording, recorded

__all__ = [
    "Approximation",
    "Head",
    "Recording",
    "adapt",
    "measure_approximation",
    "recorded",
]


def __dir__() -> list[str]:
    return sorted(__all__)
