"""What the random feature maps of the softmax kernel share."""

import math
from abc import abstractmethod

from keras import ops

from keras_performer.feature_maps.feature_map import FeatureMap, project
from keras_performer.ops.backend import softmax_with_constant_sum


class SoftmaxKernel(FeatureMap):
    """Base of the maps that estimate `exp(q·k / √D)` from random projections.

    With `x = q / D^(1/4)` and rows ω of the projection, a subclass turns `ω·x` and
    `‖x‖²/2` into features. Queries and keys are mapped alike.
    """

    draws_projection = True

    def size(self, head_dim, parameters):
        return parameters["projection"].shape[-2]

    def queries(self, x, parameters):
        return self.features(self.logits(x, parameters), half_squared_norm(x))

    def keys(self, x, parameters):
        return self.features(self.logits(x, parameters), half_squared_norm(x))

    def logits(self, x, parameters):
        """Returns `ω·x` of each row, for x of shape (..., T, D): (..., T, M)."""
        rows = parameters["projection"] * x.shape[-1] ** -0.25  # (..., M, D)
        return project(x, rows)

    @abstractmethod
    def features(self, logits, half_squared_norm):
        """Features and log weights from `ω·x` (..., T, M) and `‖x‖²/2` (..., T)."""


def half_squared_norm(x):
    """Returns `‖x‖²/2` of scaled queries or keys: (..., T, D) to (..., T)."""
    return ops.sum(ops.square(x), axis=-1) * (0.5 * x.shape[-1] ** -0.5)


def per_head(parameter, x):
    """Shapes a parameter of each head, (Hk, ...), to go with x, (B, Hk, ..., T, D)."""
    between = (1,) * (len(x.shape) - 4)
    return ops.reshape(parameter, (parameter.shape[0], *between, *parameter.shape[1:]))


def positive_features(logits, half_squared_norm):
    """`exp(l − ‖x‖²/2) / √M` as features and log weights, from all M logits.

    Args:
        logits: Tensor of shape (..., M).
        half_squared_norm: Tensor of shape (...).

    Returns:
        Tensors of shapes (..., M) and (...).
    """
    values, log_sum = normalized_exp(logits)
    log_weight = log_sum - half_squared_norm - 0.5 * math.log(logits.shape[-1])
    return values, log_weight


def normalized_exp(logits):
    """Exponentials that sum to one, and the logarithm of what they were divided by.

    `exp(l − c)` and `c = log Σ exp(l)`, both over features, with c as a constant for
    derivatives of every order: whatever is taken from all features of a position comes
    back in its weight, or cancels where it belongs to a query. On CPU this takes less
    time than a maximum, a subtraction and an exponential, and its gradient is one
    product.

    Args:
        logits: Tensor of shape (..., M).

    Returns:
        Tensors of shapes (..., M) and (...).
    """
    values = softmax_with_constant_sum(logits)
    # log softmax(l) = l − c at every feature; at the largest it is above −log M.
    logit, value = (_highest(ops.stop_gradient(x)) for x in (logits, values))
    return values, logit - ops.log(value)


def _highest(x):
    # With an initial value Keras takes the maximum of an empty batch too.
    return ops.max(x, axis=-1, initial=float("-inf"))
