"""`token_bits`: bits of the right tokens, and whether a model held them likeliest."""

import math
from typing import Any

import keras
import numpy as np


def token_bits(logits: Any, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Measures logits at the tokens that they are to tell.

    Args:
        logits: Array of shape (B, T, V), of any float type.
        targets: Integers from 0 of shape (B, T).

    Returns:
        Two arrays of shape (B, T): minus the binary logarithm of what the model gave
        each target, float64, and whether no other id was likelier.

    Raises:
        ValueError: If the logits do not have a vector for each target and a number for
            each id.

    Example:

    >>> bits, is_right = token_bits(np.zeros((1, 2, 4)), np.array([[0, 3]]))
    >>> bits.round(5).tolist(), is_right.tolist()
    ([[2.0, 2.0]], [[True, False]])
    """
    logits = np.asarray(logits)
    if logits.ndim != 3 or logits.shape[:2] != targets.shape:
        raise ValueError(
            f"The model gave outputs of shape {logits.shape} for targets of shape "
            f"{targets.shape}. Expected logits of shape (B, T, V), for each position."
        )
    if targets.max() >= logits.shape[-1]:
        raise ValueError(
            f"The id {targets.max()} is beyond the model's vocabulary of "
            f"{logits.shape[-1]}. Expected ids of its tokenizer."
        )
    nats = keras.ops.sparse_categorical_crossentropy(
        targets, logits.astype("float32"), from_logits=True
    )
    bits = keras.ops.convert_to_numpy(nats).astype("float64") / math.log(2)
    return bits, logits.argmax(-1) == targets
