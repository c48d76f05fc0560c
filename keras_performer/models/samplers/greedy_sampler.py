"""`GreedySampler`: the likeliest token, each time."""

import keras
from keras import ops

from keras_performer.models.samplers.sampler import Sampler


@keras.saving.register_keras_serializable(package="keras_performer")
class GreedySampler(Sampler):
    """Chooses the likeliest token. See `Sampler` for the call.

    Example:

    >>> import numpy as np
    >>> np.asarray(GreedySampler().choose(np.array([[0.1, 0.7, 0.2]]))).tolist()
    [1]
    """

    def choose(self, logits):
        return ops.argmax(logits, axis=-1)
