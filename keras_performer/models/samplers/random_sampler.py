"""`RandomSampler`: tokens as likely as the model says, at a temperature."""

import keras
from keras import ops

from keras_performer.models.samplers.sampler import Sampler


@keras.saving.register_keras_serializable(package="keras_performer")
class RandomSampler(Sampler):
    """Draws tokens with probabilities `softmax(logits / temperature)`.

    See `Sampler` for the call. Each call goes on where the one before has ended in the
    sequence of random numbers.

    Args:
        temperature: A positive number: below 1 likely tokens become likelier.
        seed: Integer that seeds the draws, or `None`.

    Raises:
        ValueError: If the temperature is not positive.

    Example:

    >>> import numpy as np
    >>> sampler = RandomSampler(temperature=0.01, seed=0)
    >>> np.asarray(sampler.choose(np.array([[1.0, 2.0, 3.0]]))).tolist()
    [2]
    """

    def __init__(self, temperature=1.0, seed=None):
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
    def variables(self):
        return [self._seed_generator.state]

    def candidates(self, logits):
        """The tokens that may be drawn.

        Args:
            logits: Tensor of shape (B, V), divided by the temperature.

        Returns:
            Logits of shape (B, K), and the K token ids that they are of, (B, K); or
            `None`, where they are of all tokens in order.
        """
        return logits, None

    def choose(self, logits):
        logits, tokens = self.candidates(logits / self.temperature)
        drawn = keras.random.categorical(
            logits, 1, seed=self._seed_generator, dtype="int32"
        )
        if tokens is not None:
            drawn = ops.take_along_axis(tokens, drawn, axis=1)
        return drawn[:, 0]

    def get_config(self):
        return {"temperature": self.temperature, "seed": self.seed}
