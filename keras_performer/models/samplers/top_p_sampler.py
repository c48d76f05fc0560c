"""`TopPSampler`: draws from the most probable tokens up to a total probability."""

from typing import Any

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
        temperature: A positive number: below 1 probable tokens become more probable.
        seed: Integer that seeds the draws, or `None`.

    Raises:
        ValueError: If p is no probability, or the temperature is not positive.

    Example:

    >>> import numpy as np
    >>> sampler = TopPSampler(p=0.5)
    >>> np.asarray(sampler.choose(np.log([[0.2, 0.7, 0.1]]))).tolist()
    [1]
    """

    def __init__(
        self, p: float = 0.9, temperature: float = 1.0, seed: int | None = None
    ) -> None:
        super().__init__(temperature, seed)
        if not 0 < p <= 1:
            raise ValueError(f"`p` must be a probability in (0, 1]. Received: p={p!r}")
        self.p = p

    def candidates(self, logits: Any) -> tuple[Any, Any]:
        logits, tokens = ops.top_k(logits, logits.shape[-1])
        probabilities = ops.softmax(logits)
        # Of the more probable tokens alone: the first token is always kept.
        before = ops.cumsum(probabilities, axis=-1) - probabilities
        return ops.where(before < self.p, logits, float("-inf")), tokens

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "p": self.p}
