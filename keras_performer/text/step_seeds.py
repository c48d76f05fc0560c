"""Seeds in the graph that are a function of a seed and a step."""

from typing import Any

import tensorflow as tf

ALGORITHM = "philox"  # rather than the favourite of each device


def step_seeds(seed: int, step: Any, number: int) -> list[Any]:
    """Seeds for what `tf.random.stateless_*` draws in a step.

    Args:
        seed: Integer from 0.
        step: Integer tensor, a scalar.
        number: How many are needed.

    Returns:
        List of integer tensors of shape (2,).

    Example:

    >>> from keras_performer.text.step_seeds import step_seeds, uniform
    >>> [of_step_7] = step_seeds(seed=0, step=7, number=1)
    >>> uniform((2, 3), of_step_7).shape
    TensorShape([2, 3])
    """
    of_step = tf.random.fold_in(
        tf.constant([seed, 0], tf.int64), tf.cast(step, tf.int64), alg=ALGORITHM
    )
    return tf.unstack(tf.random.split(of_step, num=number, alg=ALGORITHM))


def uniform(shape: Any, seed: Any) -> Any:
    """Numbers from 0 up to 1, drawn by one of the `step_seeds`."""
    return tf.random.stateless_uniform(shape, seed, alg=ALGORITHM)
