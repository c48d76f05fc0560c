"""Dense-exponential maps adapted to skewed data, and their closed forms."""

import numpy as np
from gradients import to_numpy
from keras import ops
from kernels import HEAD_DIM
from tolerances import EXACT

from keras_performer.feature_maps import (
    AsymmetricDenseExponential,
    FavorPlusPlus,
    FavorSharp,
    Moments,
    SymmetricDenseExponential,
)

DENSE = [
    FavorPlusPlus(),
    FavorSharp(),
    SymmetricDenseExponential(),
    AsymmetricDenseExponential(),
]


def skewed(length=200, heads=1, head_dim=HEAD_DIM, seed=0):
    """Queries and keys (1, T, H, D): correlated coordinates of unlike sizes and means.

    The sizes of queries fall along the coordinates where those of keys rise, so that
    each member of the family has something to gain over the one before it.
    """
    generator = np.random.default_rng(seed)
    sizes = np.geomspace(3.0, 0.2, head_dim)

    def draw(sizes, mixing):
        x = generator.standard_normal((1, length, heads, head_dim)) * sizes
        rotation, _ = np.linalg.qr(
            np.eye(head_dim) + mixing * generator.standard_normal((head_dim, head_dim))
        )
        mean = 0.3 * generator.standard_normal((heads, head_dim))
        return (x @ rotation + mean).astype("float32")

    return draw(sizes, 0.3), draw(sizes[::-1] ** 0.5, 0.3)


def unadapted(feature_map, rows, heads=1):
    """The parameters that a map starts with, of dtype EXACT."""
    drawn = {"projection": rows}
    parameters = feature_map.initial_parameters(heads, rows.shape[-1], drawn)
    return {name: x.astype(EXACT) for name, x in parameters.items()}


def adapted(feature_map, rows, queries, keys):
    """The parameters of a map after it adapted to queries and keys."""
    new = feature_map.adapted_parameters(Moments.of(queries, keys))
    start = unadapted(feature_map, rows, keys.shape[2])
    assert set(new) < set(start)
    return start | {name: to_numpy(x).astype(EXACT) for name, x in new.items()}


def full_features(features, x, parameters):
    """Features with their weights multiplied in: (..., T, D) to (..., T, M)."""
    x = ops.convert_to_tensor(x, dtype=EXACT)
    parameters = {k: ops.convert_to_tensor(p, EXACT) for k, p in parameters.items()}
    values, log_weight = features(x, parameters)
    return to_numpy(values * ops.exp(log_weight)[..., None])


def terms(feature_map, parameters, query, key):
    """`M φ(q)_m φ(k)_m` of two vectors for each feature: their mean is the kernel."""
    features = [
        full_features(method, x[None, None, None], parameters)[0, 0, 0].astype(
            "float64"
        )
        for method, x in ((feature_map.queries, query), (feature_map.keys, key))
    ]
    return features[0] * features[1] * len(features[0])


def log_second_moment(parameters, query, key, head=0):
    """`log E[(M φ(q)_m φ(k)_m)²]` of independent rows: (..., D) to (...).

    With `E exp(a ω² + b ω) = exp(b² / (2 (1 − 2a))) / √(1 − 2a)` for a standard normal
    ω, coordinate by coordinate.
    """
    curvature, to_query, to_key = (
        np.float64(parameters[name][head])
        for name in ("curvature", "query_transform", "key_transform")
    )
    x, y = scaled_rows(query) @ to_query.T, scaled_rows(key) @ to_key.T
    stretch, damping = 1 - 4 * curvature, 1 - 8 * curvature
    determinant = np.sum(np.log(stretch) - 0.5 * np.log(damping))
    quadratic = 2 * np.sum(stretch / damping * (x + y) ** 2, axis=-1)
    return determinant + quadratic - np.sum(x**2, axis=-1) - np.sum(y**2, axis=-1)


def scaled_rows(x):
    return np.float64(x) / x.shape[-1] ** 0.25


def mean_log_second_moment(parameters, queries, keys, head=0):
    """Its mean over all pairs of positions of (1, T, H, D) and (1, S, H, D)."""
    query, key = queries[0, :, head], keys[0, :, head]
    return np.mean(log_second_moment(parameters, query[:, None], key[None], head))
