"""Bits per token of a causal language model, each token of a text predicted once."""

import dataclasses
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from keras_performer.training.evaluation.token_bits import token_bits


@dataclasses.dataclass(frozen=True)
class LanguageModelEvaluation:
    """What a causal language model makes of a text that training did not see.

    Attributes:
        bits_per_token: Mean of minus the binary logarithm of what the model gave each
            token; bits per byte where tokens are bytes.
        standard_error: Of `bits_per_token`, over windows as draws of the text; no
            number where there is one window alone.
        accuracy: Share of the tokens that the model held the likeliest.
        num_tokens: Number of predicted tokens.
    """

    bits_per_token: float
    standard_error: float
    accuracy: float
    num_tokens: int


def evaluate_language_model(
    model: Any,
    token_ids: npt.ArrayLike,
    context_length: int,
    stride: int | None = None,
    batch_size: int = 8,
) -> LanguageModelEvaluation:
    """Measures a causal model on one long array of token ids.

    Windows of `context_length` tokens are moved over the text by `stride`. Of the
    first all predictions count, of the others those of tokens that no window before
    has predicted: the last `stride` of a window, which have `context_length - stride`
    tokens of context at least. So each token but the very first, which nothing
    predicts, counts exactly once. The last window is moved back to be a whole one.

    Args:
        model: A causal model from ids (B, T) to logits (B, T, V); not of
            probabilities.
        token_ids: Integer array of shape (N,), at least two tokens.
        context_length: T, the length of a window. A shorter text is one window.
        stride: Distance of two windows, from 1 to `context_length`, which is the
            default. Smaller ones give more context and take more time.
        batch_size: B, the number of windows that are predicted at once.

    Returns:
        A `LanguageModelEvaluation`.

    Raises:
        ValueError: If an argument is out of its range, or the logits do not have a
            vector for each position and a number for each id.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> inputs = keras.Input((None,), dtype="int32")
    >>> zeros = keras.layers.Embedding(256, 256, embeddings_initializer="zeros")
    >>> model = keras.Model(inputs, zeros(inputs))
    >>> measured = evaluate_language_model(model, np.arange(100), context_length=16)
    >>> round(measured.bits_per_token, 5), measured.num_tokens
    (8.0, 99)
    """
    token_ids = _checked_ids(token_ids)
    stride = context_length if stride is None else stride
    for name, value, most in (
        ("context_length", context_length, math.inf),
        ("stride", stride, context_length),
        ("batch_size", batch_size, math.inf),
    ):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(
                f"`{name}` must be a positive integer. Received: {name}={value!r}"
            )
        if value > most:
            raise ValueError(
                f"`{name}` must be at most `context_length`, {most}: else tokens "
                f"between two windows are left out. Received: {name}={value}"
            )
    windows = _windows(len(token_ids), context_length, stride)
    length = min(context_length, len(token_ids) - 1)
    sums = []  # of each window: bits, right ones, number
    for first in range(0, len(windows), batch_size):
        batch = windows[first : first + batch_size]
        ids = np.stack([token_ids[start : start + length + 1] for start, _ in batch])
        bits, right = token_bits(model.predict_on_batch(ids[:, :-1]), ids[:, 1:])
        sums += [
            (bits[row, -number:].sum(), right[row, -number:].sum(), number)
            for row, (_, number) in enumerate(batch)
        ]
    bits, right, number = np.array(sums, "float64").T
    mean = bits.sum() / number.sum()
    return LanguageModelEvaluation(
        bits_per_token=float(mean),
        standard_error=_standard_error(bits - mean * number, number),
        accuracy=float(right.sum() / number.sum()),
        num_tokens=int(number.sum()),
    )


def _checked_ids(token_ids: npt.ArrayLike) -> np.ndarray:
    token_ids = np.asarray(token_ids)
    if (
        token_ids.ndim != 1
        or len(token_ids) < 2
        or not np.issubdtype(token_ids.dtype, np.integer)
    ):
        raise ValueError(
            "`token_ids` must be an integer array of shape (N,) with at least two "
            f"tokens. Received: shape {token_ids.shape}, dtype {token_ids.dtype}"
        )
    if token_ids.min() < 0:
        raise ValueError(f"Token ids begin at 0. Received: {token_ids.min()}")
    return token_ids.astype("int32")


def _windows(num_ids: int, context_length: int, stride: int) -> list[tuple[int, int]]:
    """Starts of windows, and how many of their last tokens none before predicts."""
    targets = num_ids - 1
    done = min(context_length, targets)
    windows = [(0, done)]
    while done < targets:
        number = min(stride, targets - done)
        done += number
        windows.append((done - context_length, number))
    return windows


def _standard_error(deviations: np.ndarray, number: np.ndarray) -> float:
    """Of a ratio of sums over windows, to first order; they may differ in number."""
    windows = len(number)
    if windows == 1:
        return math.nan
    variance = windows / (windows - 1) * np.sum(deviations**2)
    return float(np.sqrt(variance) / number.sum())
