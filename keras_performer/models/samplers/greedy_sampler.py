"""`GreedySampler`: the most probable token, each time."""

from typing import Any

import keras
from keras import ops

from keras_performer.models.samplers.sampler import Sampler


@keras.saving.register_keras_serializable(package="keras_performer")
class GreedySampler(Sampler):
    """Chooses the most probable token. See `Sampler` for the call.

    Example:

    >>> import numpy as np
    >>> np.asarray(GreedySampler().choose(np.array([[0.1, 0.7, 0.2]]))).tolist()
    [1]
    """

    def choose(self, logits: Any) -> Any:
        return ops.argmax(logits, axis=-1)
