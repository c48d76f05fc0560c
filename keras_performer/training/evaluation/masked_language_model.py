"""Accuracy and perplexity of a masked language model, beside those of frequencies."""

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from keras_performer.training.evaluation.token_bits import token_bits
from keras_performer.training.text_baselines import unigram_bits


@dataclasses.dataclass(frozen=True)
class MaskedEvaluation:
    """What a masked language model makes of the tokens that were hidden from it.

    Attributes:
        accuracy: Share of the chosen positions whose token it held the likeliest.
        perplexity: `2 ** bits`, of the mean bits of their tokens.
        unigram_accuracy: The same of the most frequent token of the training.
        unigram_perplexity: The same of the frequencies in the training.
        num_tokens: Number of positions with a weight.
    """

    accuracy: float
    perplexity: float
    unigram_accuracy: float
    unigram_perplexity: float
    num_tokens: int


def evaluate_masked_language_model(
    model: Any, batches: Iterable[Any], token_counts: npt.ArrayLike
) -> MaskedEvaluation:
    """Measures a masked model at the chosen positions of batches.

    Args:
        model: A model from its inputs to logits (B, T, V).
        batches: Finite iterable of triples of inputs, targets (B, T) and weights
            (B, T): a position counts as much as its weight says.
        token_counts: How often each token is in the training text, of shape (V,):
            `np.bincount(train_ids, minlength=V)`.

    Returns:
        A `MaskedEvaluation`.

    Raises:
        ValueError: If no position is chosen, or shapes do not belong together.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> inputs = keras.Input((None,), dtype="int32")
    >>> zeros = keras.layers.Embedding(32, 32, embeddings_initializer="zeros")
    >>> model = keras.Model(inputs, zeros(inputs))
    >>> targets = np.arange(20).reshape(2, 10)
    >>> batches = [(targets * 0, targets, targets % 3 == 0)]
    >>> measured = evaluate_masked_language_model(model, batches, np.ones(32))
    >>> round(measured.perplexity, 3), round(measured.unigram_perplexity, 3)
    (32.0, 32.0)
    """
    token_counts = np.asarray(token_counts)
    baseline = unigram_bits(token_counts)
    sums = np.zeros(5)  # weights; bits and right ones of model and of frequencies
    num_tokens = 0
    for inputs, targets, weights in batches:
        logits = np.asarray(model.predict_on_batch(inputs))
        targets = np.asarray(targets)
        weights = np.asarray(weights, "float64")
        expected = (*targets.shape, len(token_counts))
        if logits.shape != expected or weights.shape != targets.shape:
            raise ValueError(
                f"The model gave outputs of shape {logits.shape} for targets of shape "
                f"{targets.shape}, weights of shape {weights.shape} and "
                f"{len(token_counts)} `token_counts`. Expected logits of shape "
                f"{expected} and weights for each target."
            )
        bits, is_right = token_bits(logits, targets)
        num_tokens += int(np.count_nonzero(weights))
        sums += [
            weights.sum(),
            np.sum(weights * bits),
            np.sum(weights * is_right),
            np.sum(weights * baseline[targets]),
            np.sum(weights * (token_counts.argmax() == targets)),
        ]
    if not sums[0]:
        raise ValueError(
            "The batches choose no position: all weights are 0, or there is no batch."
        )
    mean_bits, right, unigram, unigram_right = (float(x) for x in sums[1:] / sums[0])
    return MaskedEvaluation(
        accuracy=right,
        perplexity=2**mean_bits,
        unigram_accuracy=unigram_right,
        unigram_perplexity=2**unigram,
        num_tokens=num_tokens,
    )
