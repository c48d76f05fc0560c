"""Feature maps, the strategies that turn queries and keys into features."""

from keras_performer.feature_maps.asymmetric_dense_exponential import (
    AsymmetricDenseExponential,
)
from keras_performer.feature_maps.favor_plus_plus import FavorPlusPlus
from keras_performer.feature_maps.favor_sharp import FavorSharp
from keras_performer.feature_maps.feature_map import FeatureMap
from keras_performer.feature_maps.generalized import Generalized
from keras_performer.feature_maps.hybrid import Hybrid
from keras_performer.feature_maps.hyperbolic import Hyperbolic
from keras_performer.feature_maps.learned import Learned
from keras_performer.feature_maps.moments import Moments
from keras_performer.feature_maps.registry import deserialize, get, serialize
from keras_performer.feature_maps.softmax import Softmax
from keras_performer.feature_maps.symmetric_dense_exponential import (
    SymmetricDenseExponential,
)
from keras_performer.feature_maps.trigonometric import Trigonometric

__all__ = [
    "AsymmetricDenseExponential",
    "FavorPlusPlus",
    "FavorSharp",
    "FeatureMap",
    "Generalized",
    "Hybrid",
    "Hyperbolic",
    "Learned",
    "Moments",
    "Softmax",
    "SymmetricDenseExponential",
    "Trigonometric",
    "deserialize",
    "get",
    "serialize",
]


def __dir__() -> list[str]:
    return sorted(__all__)
