"""Projections by name, as Keras resolves initializers and activations."""

import keras

from keras_performer.ops.projections.gaussian import gaussian
from keras_performer.ops.projections.givens import givens
from keras_performer.ops.projections.hadamard import hadamard
from keras_performer.ops.projections.orthogonal import orthogonal
from keras_performer.ops.projections.regularized_orthogonal import (
    regularized_orthogonal,
)
from keras_performer.ops.projections.simplex import simplex

_BY_NAME = {
    "gaussian": gaussian,
    "orthogonal": orthogonal,
    "regularized_orthogonal": regularized_orthogonal,
    "simplex": simplex,
    "hadamard": hadamard,
    "givens": givens,
}


def get(identifier):
    """Resolves a projection by name, or passes a callable through.

    Args:
        identifier: One of `"gaussian"`, `"orthogonal"`, `"regularized_orthogonal"`,
            `"simplex"`, `"hadamard"` and `"givens"`, a callable
            `(seed, num_features, head_dim) -> (M, D) array`, or what `serialize`
            returned.

    Returns:
        The callable that draws the projection.

    Raises:
        ValueError: If the name is unknown.

    Example:

    >>> get("orthogonal") is orthogonal
    True
    """
    if callable(identifier):
        return identifier
    if isinstance(identifier, str) and identifier in _BY_NAME:
        return _BY_NAME[identifier]
    if isinstance(identifier, dict):
        return keras.saving.deserialize_keras_object(identifier)
    raise ValueError(
        f"Unknown projection: {identifier!r}. Expected one of {sorted(_BY_NAME)} or a "
        "callable `(seed, num_features, head_dim) -> array`."
    )


def serialize(projection):
    """Returns the identifier of a projection, for `get`.

    Args:
        projection: A callable that `get` returned.

    Returns:
        The name, or the Keras-serialized callable where it has none.

    Example:

    >>> serialize(get("simplex"))
    'simplex'
    """
    for name, function in _BY_NAME.items():
        if function is projection:
            return name
    return keras.saving.serialize_keras_object(projection)
