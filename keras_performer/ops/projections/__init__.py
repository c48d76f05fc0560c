"""Random projections for feature maps: rows of directions and norms, from a seed."""

from keras_performer.ops.projections.gaussian import gaussian
from keras_performer.ops.projections.givens import givens
from keras_performer.ops.projections.hadamard import hadamard
from keras_performer.ops.projections.orthogonal import orthogonal
from keras_performer.ops.projections.registry import get, serialize
from keras_performer.ops.projections.regularized_orthogonal import (
    regularized_orthogonal,
)
from keras_performer.ops.projections.simplex import simplex

__all__ = [
    "gaussian",
    "get",
    "givens",
    "hadamard",
    "orthogonal",
    "regularized_orthogonal",
    "serialize",
    "simplex",
]


def __dir__() -> list[str]:
    return sorted(__all__)
