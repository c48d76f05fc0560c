"""Floor 4: what data says of a model's attention, and feature maps fitted to it."""

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
