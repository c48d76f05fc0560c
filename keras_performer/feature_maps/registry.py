"""Feature maps by name, as Keras resolves initializers and activations."""

import functools

import keras

from keras_performer.feature_maps.asymmetric_dense_exponential import (
    AsymmetricDenseExponential,
)
from keras_performer.feature_maps.favor_plus_plus import FavorPlusPlus
from keras_performer.feature_maps.favor_sharp import FavorSharp
from keras_performer.feature_maps.feature_map import FeatureMap
from keras_performer.feature_maps.generalized import (
    Generalized,
    absolute,
    bounded_exp,
)
from keras_performer.feature_maps.hybrid import Hybrid
from keras_performer.feature_maps.hyperbolic import Hyperbolic
from keras_performer.feature_maps.learned import Learned
from keras_performer.feature_maps.softmax import Softmax
from keras_performer.feature_maps.symmetric_dense_exponential import (
    SymmetricDenseExponential,
)
from keras_performer.feature_maps.trigonometric import Trigonometric

_BY_NAME = {
    "softmax": Softmax,
    "hyperbolic": Hyperbolic,
    "trigonometric": Trigonometric,
    "hybrid": Hybrid,
    "favor_plus_plus": FavorPlusPlus,
    "favor_sharp": FavorSharp,
    "sderf": SymmetricDenseExponential,
    "aderf": AsymmetricDenseExponential,
    "learned": Learned,
    "relu": functools.partial(Generalized, "relu"),
    "elu": functools.partial(Generalized, "elu", epsilon=1.0),
    "gelu": functools.partial(Generalized, "gelu"),
    "sigmoid": functools.partial(Generalized, "sigmoid"),
    "abs": functools.partial(Generalized, absolute),
    "exp": functools.partial(Generalized, bounded_exp),
}


def get(identifier):
    """Resolves a feature map.

    Args:
        identifier: A name, a `FeatureMap`, or what `serialize` returned.

    Returns:
        A `FeatureMap`.

    Raises:
        ValueError: If the name is unknown or the object is no feature map.

    Example:

    >>> get("relu")
    Generalized(activation='relu', epsilon=0.001, projected=False)
    """
    if isinstance(identifier, FeatureMap):
        return identifier
    if isinstance(identifier, str) and identifier in _BY_NAME:
        return _BY_NAME[identifier]()
    if isinstance(identifier, dict):
        return deserialize(identifier)
    raise ValueError(
        f"Unknown feature map: {identifier!r}. Expected one of {sorted(_BY_NAME)}, a "
        "`keras_performer.feature_maps.FeatureMap`, or the configuration of one."
    )


def serialize(feature_map):
    """Returns the configuration of a feature map, for `deserialize`."""
    return keras.saving.serialize_keras_object(feature_map)


def deserialize(config):
    """Makes a feature map from what `serialize` returned.

    Raises:
        ValueError: If it is the configuration of something else.
    """
    made = keras.saving.deserialize_keras_object(config)
    if not isinstance(made, FeatureMap):
        raise ValueError(
            f"Expected the configuration of a feature map. Received: {config!r}, which "
            f"makes {made!r}"
        )
    return made
