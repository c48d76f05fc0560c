"""`TopKSampler`: draws from the likeliest few tokens."""

import keras
from keras import ops

from keras_performer.models.samplers.random_sampler import RandomSampler


@keras.saving.register_keras_serializable(package="keras_performer")
class TopKSampler(RandomSampler):
    """Draws from the k likeliest tokens, of which each keeps its relative probability.

    See `Sampler` for the call.

    Args:
        k: Number of tokens that may be drawn.
        temperature: As for `RandomSampler`.
        seed: As for `RandomSampler`.

    Raises:
        ValueError: If k or the temperature is not positive.

    Example:

    >>> import numpy as np
    >>> sampler = TopKSampler(k=1)
    >>> np.asarray(sampler.choose(np.array([[1.0, 3.0, 2.0]]))).tolist()
    [1]
    """

    def __init__(self, k=5, temperature=1.0, seed=None):
        super().__init__(temperature, seed)
        if not isinstance(k, int) or k < 1:
            raise ValueError(f"`k` must be a positive integer. Received: k={k!r}")
        self.k = k

    def candidates(self, logits):
        return ops.top_k(logits, min(self.k, logits.shape[-1]))

    def get_config(self):
        return {**super().get_config(), "k": self.k}
