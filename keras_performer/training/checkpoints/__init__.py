"""What of a training is on disk: its state, its best weights, each file whole."""

from keras_performer.training.checkpoints.best_weights import BestWeights
from keras_performer.training.checkpoints.checkpoint import Checkpoint

__all__ = ["BestWeights", "Checkpoint"]


def __dir__() -> list[str]:
    return sorted(__all__)
