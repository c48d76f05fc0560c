"""Sums of features and values: weighted, masked, kept exact, and divided at the end.

Products are `a @ b`: `keras.ops.matmul` narrows float64 to float32 on PyTorch.
"""

import numpy as np
from keras import backend, ops

from keras_performer.ops.backend import custom_gradient
from keras_performer.ops.chunking import wide, wide_dtype

LOG_WEIGHT_RANGE = (-80.0, 60.0)


def initial_sums(keys, values, feature_map, parameters):
    """Zeros for `[V, 1]ᵀ φ(K)`, of shape (B, Hk, Dv + 1, M).

    Args:
        keys: Chunks of shape (N, B, Hk, ..., D).
        values: Chunks of shape (N, B, Hk, ..., Dv).
        feature_map: A `FeatureMap`.
        parameters: Dictionary of its tensors.
    """
    batch, heads = ops.shape(keys)[1:3]
    size = feature_map.size(keys.shape[-1], parameters)
    dtype = wide_dtype(values)
    return ops.zeros((batch, heads, values.shape[-1] + 1, size), dtype=dtype)


def bind(feature_map, parameters):
    """Separates the parameters that a loop differentiates from those it closes over.

    Args:
        feature_map: A `FeatureMap`.
        parameters: Dictionary of its tensors.

    Returns:
        The tuple of differentiated tensors, and a function from such a tuple to the
        dictionary.
    """
    parameters = {name: ops.convert_to_tensor(x) for name, x in parameters.items()}
    if feature_map.trainable:
        names = tuple(parameters)
        return tuple(parameters.values()), lambda shared: dict(
            zip(names, shared, strict=True)
        )
    constants = {name: ops.stop_gradient(x) for name, x in parameters.items()}
    return (), lambda shared: constants


def weighted_keys(feature_map, parameters, key, value, mask=None):
    """Features of keys, and their values with a one appended, weighted and masked.

    One product with `[v, 1]` gives numerator and denominator together. What a mask
    hides is replaced by zeros before the map and gets the weight zero after it, so
    that it is in neither sum, whatever it holds.

    Args:
        feature_map: A `FeatureMap`.
        parameters: Tensors of the feature map.
        key: Tensor of shape (B, Hk, ..., C, D).
        value: Tensor of shape (B, Hk, ..., C, Dv).
        mask: Tensor of shape (B, ..., C), 1 at the keys that count and 0 elsewhere;
            or `None`, where all do.

    Returns:
        Features of shape (B, Hk, ..., C, M), weighted values of shape
        (B, Hk, ..., C, Dv + 1).
    """
    if mask is not None:
        mask = ops.expand_dims(mask, 1)
        present = ops.expand_dims(mask, -1) > 0
        key, value = (ops.where(present, x, ops.zeros_like(x)) for x in (key, value))
    key, value = wide(key), wide(value)
    features, log_weight = feature_map.keys(key, parameters)
    weight = ops.exp(ops.clip(log_weight, *LOG_WEIGHT_RANGE))
    if mask is not None:
        weight = weight * ops.cast(mask, weight.dtype)
    weight = ops.expand_dims(weight, -1)
    return features, ops.concatenate([value * weight, weight], axis=-1)


def set_aside_broken(key, value, mask=None):
    """Zeros in place of keys and values that are not finite, and where they were.

    A product with zero does not hide what is not finite, so that it would reach the
    queries before it. `poison` lets it reach those that see it.

    Args:
        key: Tensor of shape (B, Hk, n, C, D).
        value: Tensor of shape (B, Hk, n, C, Dv).
        mask: As for `weighted_keys`; what it hides is not broken.

    Returns:
        Keys, values, and a float tensor of shape (B, Hk, n, C), 1 where they were
        broken and 0 elsewhere.
    """
    key, value = wide(key), wide(value)
    sound = ops.isfinite(ops.sum(key, axis=-1) + ops.sum(value, axis=-1))
    kept = ops.expand_dims(sound, -1)
    key, value = (ops.where(kept, x, ops.zeros_like(x)) for x in (key, value))
    broken = ops.cast(ops.logical_not(sound), key.dtype)
    if mask is not None:
        broken = broken * ops.cast(mask[:, None], broken.dtype)
    return key, value, broken


def poison(broken, groups):
    """What to add to sums, so that they are NaN from the first broken key on.

    Args:
        broken: Float tensor of shape (B, Hk, n, C), 1 at broken keys and 0 elsewhere.
        groups: G, heads of queries for each head of keys.

    Returns:
        Zeros and NaN of shape (B, Hk, n, G·C, 1) for the sums of each position, and
        (B, Hk, 1, 1) for those after the last one.
    """
    shape = ops.shape(broken)
    flat = ops.reshape(broken, (*shape[:2], shape[2] * shape[3]))
    seen = ops.reshape(ops.cumsum(flat, axis=-1), shape)
    last = seen[:, :, -1:, -1:]
    seen = ops.expand_dims(ops.tile(seen, (1, 1, 1, groups)), -1)
    return tuple(ops.where(x > 0, np.nan, ops.zeros_like(x)) for x in (seen, last))


def outer_sum(values, features):
    """`[V, 1]ᵀ φ(K)`: (..., C, Dv + 1) and (..., C, M) to (..., Dv + 1, M)."""
    return ops.swapaxes(values, -1, -2) @ features


def read(features, sums):
    """`φ(Q) Sᵀ`: (..., C, M) and (..., Dv + 1, M) to (..., C, Dv + 1)."""
    return ops.einsum("...cm,...dm->...cd", features, sums)


def accumulate(sums, lost, added):
    """Sums and a further term, by Kahan's summation.

    A stream adds a million small terms to one large sum, each of which would lose its
    last digits: what is lost is kept, and taken from the next term.

    Args:
        sums: Tensor.
        lost: What the sums are too large by, of their shape.
        added: The term, of their shape.

    Returns:
        The new sums, and what they are too large by.
    """
    added = added - lost
    total = sums + added
    return total, ops.stop_gradient((total - sums) - added)


def sum_chunks(weights, added):
    """Weighted sums over chunks, as one product: on CPU a cumulative sum is slower.

    Args:
        weights: Tensor that broadcasts to (B, Hk, n, n).
        added: Tensor of shape (B, Hk, n, Dv + 1, M).

    Returns:
        Tensor of shape (B, Hk, n, Dv + 1, M).
    """
    shape = ops.shape(added)
    flat = ops.reshape(added, (*shape[:3], shape[3] * shape[4]))
    return ops.reshape(weights @ flat, shape)


def normalize(sums, dtype):
    """Divides numerators by denominators; rows without a key are zeros.

    It stands outside of the loops over chunks: the backward pass of a loop then has no
    need to compute the sums again. Its gradient is written out, as that of the slices
    would take longer than the products with the features.

    Args:
        sums: Tensor of shape (..., Dv + 1).
        dtype: Name of the result's dtype.

    Returns:
        Tensor of shape (..., Dv).
    """
    return ops.cast(_divided(sums), dtype)


def inverse_or_zero(total):
    """`1 / total`, and zero where the total of a row's kernels is zero.

    Subnormal numbers count as zeros. Most processors are told to take them so; where
    they are not, the inverse would be infinite.
    """
    smallest = np.finfo(backend.standardize_dtype(total.dtype)).tiny
    return 1 / ops.where(ops.abs(total) < smallest, np.inf, total)


@custom_gradient
def _divided(sums):
    total = sums[..., -1:]
    inverse = inverse_or_zero(total)
    output = sums[..., :-1] * inverse

    def gradient(upstream):
        numerator = upstream * inverse
        denominator = -ops.sum(numerator * output, axis=-1, keepdims=True)
        return ops.concatenate([numerator, denominator], axis=-1)

    return output, gradient
