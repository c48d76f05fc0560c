"""Token dropout in the graph: some ids become padding, others at each step."""

from typing import Any

import tensorflow as tf

from keras_performer.text.checks import check_integer
from keras_performer.text.step_seeds import step_seeds, uniform
from keras_performer.text.tokenizer import PAD


class TokenDropout:
    """Leaves out tokens of a training, as word dropout does (Iyyer et al., 2015).

    A token becomes padding, which changes nothing wherever it stands: to attention,
    convolutions, positions and pooling the text is one without that token. (A mask
    token in its place would be one that inference never sees.) A row of which nothing
    would be left stays as it is.

    What is drawn is a function of `seed` and the step alone, so a training that goes
    on sees what one without interruption would have seen:

        batches = shuffled_batches(rows, batch_size, seed, start_step)
        batches = batches.enumerate(start_step).map(TokenDropout(0.1))

    Args:
        rate: Probability with which a token is left out, from 0 and below 1.
        seed: Integer from 0.

    Call arguments:
        step: Integer tensor, a scalar.
        batch: Ids `(B, T)`, 0 at padding, or a tuple that begins with them; what
            follows, such as labels, is passed through.

    Returns:
        The same with ids left out.

    Raises:
        ValueError: If an argument is out of its range.

    Example:

    >>> import numpy as np
    >>> import tensorflow as tf
    >>> from keras_performer.text import TokenDropout
    >>> rows = tf.data.Dataset.from_tensors((np.ones((1, 1000), int), [2]))
    >>> [(ids, labels)] = rows.enumerate(start=500).map(TokenDropout(0.1, seed=0))
    >>> 850 < int(np.sum(ids)) < 950
    True
    """

    def __init__(self, rate: float, seed: int = 0) -> None:
        if not 0 <= rate < 1:
            raise ValueError(
                f"rate={rate!r} was passed. Expected a number from 0 and below 1."
            )
        self.rate = float(rate)
        self.seed = check_integer("seed", seed, 0)

    def __call__(self, step: Any, batch: Any) -> Any:
        if isinstance(batch, tuple):
            return self._drop(step, batch[0]), *batch[1:]
        return self._drop(step, batch)

    def _drop(self, step: Any, token_ids: Any) -> Any:
        if not self.rate:
            return token_ids
        [seed] = step_seeds(self.seed, step, 1)
        is_kept = uniform(tf.shape(token_ids), seed) >= self.rate
        is_any_left = tf.reduce_any(is_kept & (token_ids != PAD), axis=1, keepdims=True)
        return tf.where(is_kept | ~is_any_left, token_ids, PAD)
