"""`TopKSampler`: draws from the k most probable tokens."""

from typing import Any

import keras
from keras import ops

from keras_performer.layers.validation import check_size
from keras_performer.models.samplers.random_sampler import RandomSampler


@keras.saving.register_keras_serializable(package="keras_performer")
class TopKSampler(RandomSampler):
    """Draws from the k most probable tokens, with their relative probabilities.

    See `Sampler` for the call.

    Args:
        k: Number of tokens that may be drawn.
        temperature: A positive number: below 1 probable tokens become more probable.
        seed: Integer that seeds the draws, or `None`.

    Raises:
        ValueError: If k or the temperature is not positive.

    Example:

    >>> import numpy as np
    >>> sampler = TopKSampler(k=1)
    >>> np.asarray(sampler.choose(np.array([[1.0, 3.0, 2.0]]))).tolist()
    [1]
    """

    def __init__(
        self, k: int = 5, temperature: float = 1.0, seed: int | None = None
    ) -> None:
        super().__init__(temperature, seed)
        check_size("k", k)
        self.k = k

    def candidates(self, logits: Any) -> tuple[Any, Any]:
        return ops.top_k(logits, min(self.k, logits.shape[-1]))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "k": self.k}
