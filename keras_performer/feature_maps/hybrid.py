"""Hybrid features: trigonometric at small angles, hyperbolic at large ones."""

import math

import keras
import numpy as np
from keras import ops

from keras_performer.feature_maps.feature_map import project
from keras_performer.feature_maps.hyperbolic import Hyperbolic
from keras_performer.feature_maps.softmax_kernel import SoftmaxKernel
from keras_performer.feature_maps.trigonometric import Trigonometric
from keras_performer.ops import projections


@keras.saving.register_keras_serializable(package="keras_performer")
class Hybrid(SoftmaxKernel):
    """Angular hybrid of two estimators of the softmax kernel (arXiv 2110.04367).

    `λ(x, y) · hyperbolic + (1 − λ(x, y)) · trigonometric`, where λ estimates the angle
    between x and y over π by the signs of their products with random directions τ:
    `λ = (1 − (1/n) Σ sgn(τ·x) sgn(τ·y)) / 2`. Unbiased, as directions and projection
    are independent; exact at equal queries and keys, where only trigonometric features
    count, and at opposite ones, where only hyperbolic ones do. Estimates may be
    negative. M rows of the projection make `4 M (1 + n)` features.

    Args:
        num_directions: n, the number of random directions.

    Raises:
        ValueError: If `num_directions` is not a positive integer.

    Example:

    >>> from keras_performer import feature_maps
    >>> feature_maps.get("hybrid")
    Hybrid(num_directions=4)
    """

    def __init__(self, num_directions=4):
        if not isinstance(num_directions, int) or num_directions <= 0:
            raise ValueError(
                "`num_directions` must be a positive integer. Received: "
                f"num_directions={num_directions!r}"
            )
        self.num_directions = num_directions

    def draw(self, projection, seed, num_features, head_dim):
        # Of a seed of their own: a direction is independent of every row.
        own = (*np.atleast_1d(seed).tolist(), 1)
        return {
            **super().draw(projection, seed, num_features, head_dim),
            "directions": projections.orthogonal(own, self.num_directions, head_dim),
        }

    def size(self, head_dim, parameters):
        return 4 * super().size(head_dim, parameters) * (1 + self.num_directions)

    def queries(self, x, parameters):
        return self._signed(x, parameters, hyperbolic_sign=-1.0)

    def keys(self, x, parameters):
        return self._signed(x, parameters, hyperbolic_sign=1.0)

    def features(self, logits, half_squared_norm):
        """`[hyperbolic, trigonometric] / √2`, as of one weight: (..., 4 M)."""
        parts = [
            part.features(logits, half_squared_norm)
            for part in (Hyperbolic(), Trigonometric())
        ]
        weights = ops.stack([weight for _, weight in parts])
        weight = ops.stop_gradient(ops.max(weights, axis=0))
        features = [x * ops.exp(w - weight)[..., None] for x, w in parts]
        return ops.concatenate(features, axis=-1), weight - 0.5 * math.log(2)

    def get_config(self):
        return {"num_directions": self.num_directions}

    def _signed(self, x, parameters, hyperbolic_sign):
        both, weight = super().queries(x, parameters)
        products = project(x, parameters["directions"])
        signs = ops.sign(products) * self.num_directions**-0.5
        hyperbolic, trigonometric = ops.split(both, 2, axis=-1)
        other = ops.concatenate([hyperbolic * hyperbolic_sign, trigonometric], axis=-1)
        signed = [other * signs[..., i : i + 1] for i in range(self.num_directions)]
        return ops.concatenate([both, *signed], axis=-1), weight
