"""`OutOfMemory`: a batch does not fit, and what to do about it."""

import re
from typing import Any

import keras
import tensorflow as tf

from keras_performer.layers import ExactAttention

_EXACT = (
    ExactAttention,
    keras.layers.GroupQueryAttention,
    keras.layers.MultiHeadAttention,
)
# What may stand for memory that ran out, in TensorFlow, JAX, PyTorch and NumPy.
MAYBE_OUT_OF_MEMORY = (MemoryError, RuntimeError, tf.errors.ResourceExhaustedError)
_SIGNS = re.compile(
    r"\boom\b|out of memory|not enough memory|can't allocate memory", re.IGNORECASE
)


class OutOfMemory(MemoryError):
    """The memory of the machine or the accelerator does not hold a training step.

    The message names the shapes of the batch and what can be done, what costs least
    first. The framework's own error is its cause.

    Args:
        model: The model that was trained.
        batch: The batch, any structure of arrays.
        when: Where it happened, such as `"step 0"`.

    Example:

    >>> import numpy as np
    >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(1)])
    >>> print(OutOfMemory(model, (np.ones((4, 8)), np.ones((4, 1))), "step 0"))
    Out of memory at step 0, with a batch of the shapes ((4, 8), (4, 1)). ...
    """

    def __init__(self, model: keras.Model, batch: Any, when: str) -> None:
        shapes = keras.tree.map_structure(lambda array: tuple(array.shape), batch)
        remedies = [
            "a smaller batch, with `gradient_accumulation_steps` in the optimizer",
            (
                "`keras.config.set_dtype_policy('mixed_bfloat16')` before the model is "
                "made"
            ),
            "`remat=True` in the backbone",
            "`feedforward_chunk` in the backbone",
            "a shorter context",
        ]
        exact = sum(isinstance(layer, _EXACT) for layer in model._flatten_layers())
        if exact:
            remedies.append(
                f"`FastAttention` in place of the exact attention of {exact} layers, "
                "whose memory grows with the square of the length"
            )
        numbered = "; ".join(f"({i}) {text}" for i, text in enumerate(remedies, 1))
        super().__init__(
            f"Out of memory at {when}, with a batch of the shapes {shapes}. What "
            f"helps, the cheapest first: {numbered}."
        )


def is_out_of_memory(error: BaseException) -> bool:
    """Returns whether a framework's error says that memory ran out.

    Args:
        error: One of `MAYBE_OUT_OF_MEMORY`.

    Returns:
        A boolean. (TensorFlow and JAX call a full disk an exhausted resource too.)

    Example:

    >>> is_out_of_memory(RuntimeError("RESOURCE_EXHAUSTED: Out of memory")), (
    ...     is_out_of_memory(RuntimeError("shapes differ"))
    ... )
    (True, False)
    """
    return isinstance(error, MemoryError) or bool(_SIGNS.search(str(error)))
