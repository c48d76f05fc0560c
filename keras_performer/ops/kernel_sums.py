"""Sums of features and values: weighted, masked, and divided at the end.

Products are `a @ b`: `keras.ops.matmul` narrows float64 to float32 on PyTorch.
"""

from typing import Any, NamedTuple

import numpy as np
from keras import backend, ops

from keras_performer.ops.accumulation import (
    accumulation_dtype,
    to_accumulation_dtype,
)
from keras_performer.ops.backend import custom_gradient, running_sums
from keras_performer.ops.nonfinite import nan_after_nonfinite, zero_nonfinite

LOG_WEIGHT_RANGE = (-80.0, 60.0)


class ChunkFeatures(NamedTuple):
    """What sums are made of, in one outer chunk of n inner ones.

    Attributes:
        queries: Features of shape (B, Hk, n, G·C, M).
        keys: Features of shape (B, Hk, n, C, M).
        values: Weighted values of shape (B, Hk, n, C, Dv + 1).
        decay: Log decays, summed up from the start of each inner chunk to each of its
            positions, (B, Hk, n, C); or `None`, where sums do not decay.
    """

    queries: Any
    keys: Any
    values: Any
    decay: Any


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
    dtype = accumulation_dtype(values)
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
    key, value = map(to_accumulation_dtype, (key, value))
    features, log_weight = feature_map.keys(key, parameters)
    weight = ops.exp(ops.clip(log_weight, *LOG_WEIGHT_RANGE))
    if mask is not None:
        weight = weight * ops.cast(mask, weight.dtype)
    weight = ops.expand_dims(weight, -1)
    return features, ops.concatenate([value * weight, weight], axis=-1)


def causal_features(feature_map, parameters, chunk):
    """Features of one outer chunk of n inner ones, and where its sums become NaN.

    Args:
        feature_map: A `FeatureMap`.
        parameters: Tensors of the feature map.
        chunk: `chunking.Chunks` of one outer chunk.

    Returns:
        `ChunkFeatures`, and the two tensors of `nan_after_nonfinite`.
    """
    groups = chunk.groups
    chunk, nonfinite = zero_nonfinite(chunk)
    keys, values = weighted_keys(
        feature_map, parameters, chunk.key, chunk.value, chunk.mask
    )
    queries, _ = feature_map.queries(to_accumulation_dtype(chunk.query), parameters)
    decay = chunk.log_decay
    if decay is not None:
        decay = running_sums(decay, axis=-1)
    features = ChunkFeatures(queries, keys, values, decay)
    return features, *nan_after_nonfinite(nonfinite, groups)


def outer_sum(values, features):
    """`[V, 1]ᵀ φ(K)`: (..., C, Dv + 1) and (..., C, M) to (..., Dv + 1, M)."""
    return ops.swapaxes(values, -1, -2) @ features


def query_sums(features, sums):
    """`φ(Q) Sᵀ`: (..., C, M) and (..., Dv + 1, M) to (..., C, Dv + 1)."""
    return ops.einsum("...cm,...dm->...cd", features, sums)


def sum_chunks(weights, added):
    """Weighted sums over chunks, as one product: on CPU a cumulative sum is slower.

    Args:
        weights: Tensor that broadcasts to (B, Hk, m, n).
        added: Tensor of shape (B, Hk, n, Dv + 1, M).

    Returns:
        Tensor of shape (B, Hk, m, Dv + 1, M).
    """
    batch, heads, number, *rest = ops.shape(added)
    flat = ops.reshape(added, (batch, heads, number, rest[0] * rest[1]))
    return ops.reshape(weights @ flat, (batch, heads, ops.shape(weights)[-2], *rest))


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
