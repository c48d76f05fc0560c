"""`TopPSampler`: draws from the likeliest tokens that have a probability together."""

import keras
from keras import ops

from keras_performer.models.samplers.random_sampler import RandomSampler


@keras.saving.register_keras_serializable(package="keras_performer")
class TopPSampler(RandomSampler):
    """Draws from the fewest tokens whose probabilities add up to p (nucleus sampling).

    "The Curious Case of Neural Text Degeneration", arXiv 1904.09751. See `Sampler` for
    the call.

    Args:
        p: Probability that the tokens have together, in (0, 1].
        temperature: As for `RandomSampler`.
        seed: As for `RandomSampler`.

    Raises:
        ValueError: If p is no probability, or the temperature is not positive.

    Example:

    >>> import numpy as np
    >>> sampler = TopPSampler(p=0.5)
    >>> np.asarray(sampler.choose(np.log([[0.2, 0.7, 0.1]]))).tolist()
    [1]
    """

    def __init__(self, p=0.9, temperature=1.0, seed=None):
        super().__init__(temperature, seed)
        if not 0 < p <= 1:
            raise ValueError(f"`p` must be a probability in (0, 1]. Received: p={p!r}")
        self.p = p

    def candidates(self, logits):
        logits, tokens = ops.top_k(logits, logits.shape[-1])
        probabilities = ops.softmax(logits)
        # What the likelier ones have without it: the first token is always kept.
        before = ops.cumsum(probabilities, axis=-1) - probabilities
        return ops.where(before < self.p, logits, float("-inf")), tokens

    def get_config(self):
        return {**super().get_config(), "p": self.p}
