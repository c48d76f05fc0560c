"""Layers that join what several models say: products of probabilities, and sums."""

from typing import Any

import keras
from keras import ops

SMALLEST_PROBABILITY = 1e-30  # below it a logarithm may be of zero
# Of a label, yes or no: float32 tells apart from 1 what is as far from it as this is
# from 0.
SMALLEST_LABEL_PROBABILITY = 2.0**-23


@keras.saving.register_keras_serializable(package="keras_performer")
class ProductOfExperts(keras.layers.Layer):
    """Joins the probabilities of classifiers: their product, each to a power.

    The powers are its weight `powers`, all 1 at the start. They are not trained with
    the experts: of training documents these are more certain than of others.

    Call arguments:
        probabilities: List of n tensors of shape (B, classes).

    Returns:
        Probabilities of shape (B, classes).

    Example:

    >>> import numpy as np
    >>> layer = ProductOfExperts()
    >>> experts = [np.array([[0.5, 0.5]]), np.array([[0.8, 0.2]])]
    >>> [round(float(p), 3) for p in layer(experts)[0]]
    [0.8, 0.2]
    """

    def build(self, shapes: list[tuple[int | None, ...]]) -> None:
        self.powers = self.add_weight(
            name="powers", shape=(len(shapes),), initializer="ones", trainable=False
        )

    def call(self, probabilities: list[Any]) -> Any:
        stacked = ops.stack(probabilities, axis=-1)  # (B, classes, n)
        logs = ops.log(ops.maximum(stacked, SMALLEST_PROBABILITY))
        return ops.softmax(ops.matmul(logs, self.powers), axis=-1)

    def compute_output_shape(
        self, shapes: list[tuple[int | None, ...]]
    ) -> tuple[int | None, ...]:
        return shapes[0]


@keras.saving.register_keras_serializable(package="keras_performer")
class ProductOfLabelExperts(ProductOfExperts):
    """Joins the probabilities of labels: of each label by itself, yes or no.

    The log-odds of a label are the sum of the experts' log-odds, each times its power.

    Call arguments:
        probabilities: List of n tensors of shape (B, labels).

    Returns:
        Probabilities of shape (B, labels), each from 0 to 1.

    Example:

    >>> import numpy as np
    >>> layer = ProductOfLabelExperts()
    >>> experts = [np.array([[0.5, 0.8]]), np.array([[0.8, 0.8]])]
    >>> [round(float(p), 3) for p in layer(experts)[0]]
    [0.8, 0.941]
    """

    def call(self, probabilities: list[Any]) -> Any:
        stacked = ops.stack(probabilities, axis=-1)  # (B, labels, n)
        least = SMALLEST_LABEL_PROBABILITY
        stacked = ops.clip(stacked, least, 1.0 - least)
        log_odds = ops.log(stacked) - ops.log(1.0 - stacked)
        return ops.sigmoid(ops.matmul(log_odds, self.powers))


@keras.saving.register_keras_serializable(package="keras_performer")
class SumOfExperts(ProductOfExperts):
    """Joins predicted numbers: `center`, and the distance of each, times its power.

    It is the mean of the experts at the start. The powers are called so as in the other
    layers: the sum is the mean of a product of normal distributions around the experts'
    numbers, each to its power, and of one around `center`.

    Call arguments:
        numbers: List of n tensors of shape (B, 1).

    Returns:
        Numbers of shape (B, 1).

    Example:

    >>> import numpy as np
    >>> layer = SumOfExperts()
    >>> experts = [np.array([[2.0]]), np.array([[3.0]])]
    >>> float(layer(experts)[0, 0])
    2.5
    """

    def build(self, shapes: list[tuple[int | None, ...]]) -> None:
        super().build(shapes)
        self.center = self.add_weight(
            name="center", shape=(), initializer="zeros", trainable=False
        )
        self.powers.assign(ops.full((len(shapes),), 1 / len(shapes)))

    def call(self, numbers: list[Any]) -> Any:
        distances = ops.stack(numbers, axis=-1) - self.center  # (B, 1, n)
        return self.center + ops.matmul(distances, self.powers)
