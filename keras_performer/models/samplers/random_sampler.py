"""`RandomSampler`: tokens as likely as the model says, at a temperature."""

from typing import Any

import keras
from keras import ops

from keras_performer.models.samplers.sampler import Sampler


@keras.saving.register_keras_serializable(package="keras_performer")
class RandomSampler(Sampler):
    """Draws tokens with probabilities `softmax(logits / temperature)`.

    See `Sampler` for the call. Each call continues the sequence of random numbers of
    the call before.

    Args:
        temperature: A positive number: below 1 probable tokens become more probable.
        seed: Integer that seeds the draws, or `None`.

    Raises:
        ValueError: If the temperature is not positive.

    Example:

    >>> import numpy as np
    >>> sampler = RandomSampler(temperature=0.01, seed=0)
    >>> np.asarray(sampler.choose(np.array([[1.0, 2.0, 3.0]]))).tolist()
    [2]
    """

    def __init__(self, temperature: float = 1.0, seed: int | None = None) -> None:
        if not temperature > 0:
            raise ValueError(
                "`temperature` must be a positive number; where it goes to 0, the "
                "tokens are those of `GreedySampler`. Received: temperature="
                f"{temperature!r}"
            )
        self.temperature = temperature
        self.seed = seed
        self._seed_generator = keras.random.SeedGenerator(seed)

    @property
    def variables(self) -> list[Any]:
        return [self._seed_generator.state]

    def candidates(self, logits: Any) -> tuple[Any, Any]:
        """The tokens that may be drawn.

        Args:
            logits: Tensor of shape (B, V), divided by the temperature.

        Returns:
            Logits of K tokens, tensor of shape (B, K), and their token ids, integer
            tensor of shape (B, K); or `None` if all V tokens are kept in order.
        """
        return logits, None

    def choose(self, logits: Any) -> Any:
        logits, tokens = self.candidates(logits / self.temperature)
        drawn = keras.random.categorical(
            logits, 1, seed=self._seed_generator, dtype="int32"
        )
        if tokens is not None:
            drawn = ops.take_along_axis(tokens, drawn, axis=1)
        return drawn[:, 0]

    def get_config(self) -> dict[str, Any]:
        return {"temperature": self.temperature, "seed": self.seed}
