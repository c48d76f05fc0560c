"""BERT's masking in the graph: ids to guess, resampled at each step."""

import numbers
from collections.abc import Iterable
from typing import Any

import numpy as np
import tensorflow as tf

from keras_performer.text.checks import check_integer
from keras_performer.text.step_seeds import ALGORITHM, step_seeds, uniform
from keras_performer.text.tokenizer import PAD

_MASKED_SHARE = 0.8  # of the chosen; of the rest one half is replaced, one kept


class TokenMasking:
    """Hides ids for a model to guess, as BERT does (https://arxiv.org/abs/1810.04805).

    In each row `round(rate * n)` of the n positions that are neither padding nor
    special are chosen, and at least one if there is any. Of these 80 % become
    `mask_id`, 10 % an ordinary id drawn uniformly, and 10 % stay as they are. A row is
    one of the batch: of packed sequences a short one may have no chosen position.

    What is drawn is a function of `seed` and the step alone, so a training that goes
    on sees what one without interruption would have seen:

        batches = shuffled_batches(rows, batch_size, seed, start_step)
        batches = batches.enumerate(start_step).map(TokenMasking(30, mask_id=27))

    A loss with `reduction="mean_with_sample_weight"` is the mean over the chosen
    positions; Keras' default divides by the number of all.

    Args:
        vocabulary_size: Number of ids that the model has, `mask_id` among them.
        mask_id: Id that hides another one.
        rate: Share of the positions to choose, above 0 and at most 1.
        seed: Integer from 0.
        special_ids: Ids that are neither chosen nor drawn, such as those of start and
            end. `mask_id` and padding, 0, need no mention.

    Call arguments:
        step: Integer tensor, a scalar.
        batch: Ids `(B, T)`, 0 at padding, or a dictionary with them as `"token_ids"`;
            its other values, such as `"segment_ids"`, are passed through.

    Returns:
        Triple for `Model.fit`: inputs like `batch`, with ids hidden; targets `(B, T)`,
        the ids before; and sample weights `(B, T)`, float32, 1 where an id was chosen
        and 0 elsewhere.

    Raises:
        ValueError: If an argument is not as described.
        tf.errors.InvalidArgumentError: From the dataset, if an id of a batch is not in
            the vocabulary.

    Example:

    >>> import tensorflow as tf
    >>> from keras_performer.text import TokenMasking
    >>> masking = TokenMasking(vocabulary_size=30, mask_id=27, rate=0.5)
    >>> batches = tf.data.Dataset.from_tensors(tf.constant([[1, 2, 3, 4, 0]]))
    >>> [(inputs, targets, weights)] = batches.enumerate(start=500).map(masking)
    >>> targets.numpy().tolist(), float(tf.reduce_sum(weights))
    ([[1, 2, 3, 4, 0]], 2.0)
    """

    def __init__(
        self,
        vocabulary_size: int,
        mask_id: int,
        rate: float = 0.15,
        seed: int = 0,
        special_ids: Iterable[int] = (),
    ) -> None:
        self.vocabulary_size = check_integer("vocabulary_size", vocabulary_size, 2)
        largest = self.vocabulary_size - 1
        self.mask_id = check_integer("mask_id", mask_id, 1, largest)
        is_number = isinstance(rate, numbers.Real) and not isinstance(rate, bool)
        if not is_number or not 0 < rate <= 1:
            raise ValueError(
                f"rate={rate!r} was passed. Expected a number above 0, at most 1."
            )
        self.rate = float(rate)
        self.seed = check_integer("seed", seed, 0)
        self.special_ids = tuple(
            check_integer(f"special_ids[{index}]", special_id, 0, largest)
            for index, special_id in enumerate(special_ids)
        )
        is_ordinary: np.ndarray = np.ones(self.vocabulary_size, bool)
        is_ordinary[[PAD, self.mask_id, *self.special_ids]] = False
        if not is_ordinary.any():
            raise ValueError(
                f"All of the vocabulary_size={vocabulary_size} ids are special or "
                "padding. Expected at least one ordinary id: pass fewer special_ids."
            )
        self._is_ordinary = is_ordinary
        self._ordinary_ids: np.ndarray = np.flatnonzero(is_ordinary).astype(np.int32)

    def __call__(self, step: Any, batch: Any) -> tuple[Any, Any, Any]:
        if isinstance(batch, dict):
            if "token_ids" not in batch:
                raise ValueError(
                    f"The batch has the keys {sorted(batch)}. Expected 'token_ids', "
                    "and others to pass through."
                )
            inputs, targets, weights = self._mask(step, batch["token_ids"])
            return {**batch, "token_ids": inputs}, targets, weights
        return self._mask(step, batch)

    def _mask(self, step: Any, token_ids: Any) -> tuple[Any, Any, Any]:
        if isinstance(token_ids, (tuple, list, tf.RaggedTensor)):
            raise ValueError(
                f"The batch is a {type(token_ids).__name__}. Expected ids of shape "
                "(B, T), or a dictionary with them as 'token_ids'."
            )
        token_ids = tf.convert_to_tensor(token_ids)
        if token_ids.shape.rank != 2 or not token_ids.dtype.is_integer:
            raise ValueError(
                f"The ids have shape {token_ids.shape} and dtype "
                f"{token_ids.dtype.name}. Expected integers of shape (B, T)."
            )
        token_ids = self._checked(tf.cast(token_ids, tf.int32))
        place_seed, action_seed, id_seed = step_seeds(self.seed, step, 3)
        is_chosen = self._choose(token_ids, place_seed)
        action = uniform(tf.shape(token_ids), action_seed)
        drawn_ids = tf.gather(
            self._ordinary_ids,
            tf.random.stateless_uniform(
                tf.shape(token_ids),
                id_seed,
                maxval=len(self._ordinary_ids),
                dtype=tf.int32,
                alg=ALGORITHM,
            ),
        )
        replaced_up_to = (1 + _MASKED_SHARE) / 2
        hidden = tf.where(action < replaced_up_to, drawn_ids, token_ids)
        hidden = tf.where(action < _MASKED_SHARE, self.mask_id, hidden)
        inputs = tf.where(is_chosen, hidden, token_ids)
        return inputs, token_ids, tf.cast(is_chosen, tf.float32)

    def _checked(self, token_ids: Any) -> Any:
        is_known = (token_ids >= 0) & (token_ids < self.vocabulary_size)
        message = (
            f"The batch has ids that are not from 0 to {self.vocabulary_size - 1}, as "
            f"vocabulary_size={self.vocabulary_size} was passed:"
        )
        check = tf.debugging.Assert(
            tf.reduce_all(is_known),
            [message, tf.boolean_mask(token_ids, ~is_known)],
        )
        with tf.control_dependencies([check]):
            return tf.identity(token_ids)

    def _choose(self, token_ids: Any, seed: Any) -> Any:
        """Whether a position is one of the few to guess: (B, T)."""
        may_be_chosen = tf.gather(self._is_ordinary, token_ids)
        count = tf.reduce_sum(tf.cast(may_be_chosen, tf.float32), axis=1, keepdims=True)
        wanted = tf.minimum(tf.maximum(tf.round(self.rate * count), 1.0), count)
        # Each has a number, and those with the smallest are chosen.
        numbers_drawn = uniform(tf.shape(token_ids), seed)
        numbers_drawn = tf.where(may_be_chosen, numbers_drawn, 1.0)
        order = tf.argsort(numbers_drawn, axis=1)
        rank = tf.argsort(order, axis=1)
        return may_be_chosen & (tf.cast(rank, tf.float32) < wanted)
