"""What every attention form shares: chunks of a sequence, weighted values, division.

Products are `a @ b`: `keras.ops.matmul` narrows float64 to float32 on PyTorch.
"""

import math

import numpy as np
from keras import backend, ops

from keras_performer.ops.custom_gradient import custom_gradient

LOG_WEIGHT_RANGE = (-80.0, 60.0)


def wide_dtype(x):
    """The dtype of features and sums: float32, or float64 where the inputs are."""
    return "float64" if backend.standardize_dtype(x.dtype) == "float64" else "float32"


def wide(x):
    """Casts half precision to float32; features and sums are never narrower."""
    return ops.cast(x, wide_dtype(x))


def chunk_length(length, largest, multiple=1):
    """The length of equal chunks that cover a sequence with little padding.

    Args:
        length: Length of the sequence, an int, or a scalar tensor where unknown.
        largest: Bound of a chunk's length, a multiple of `multiple`.
        multiple: What the result must be a multiple of.

    Returns:
        Number of chunks and length of each, both at least 1.

    Example:

    >>> chunk_length(2049, largest=1024)
    (3, 683)
    >>> chunk_length(70, largest=1024, multiple=64)
    (1, 128)
    """
    at_least = max if isinstance(length, int) else ops.maximum
    number = at_least(-(-length // largest), 1)
    each = at_least(-(-length // number), 1)
    return number, -(-each // multiple) * multiple


def inner_lengths(length, outer, inner):
    """Lengths (N, n, c) of n inner chunks in each of N outer ones; see `chunk_length`.

    Args:
        length: Length of the sequence, an int, or a scalar tensor where unknown.
        outer: Largest length of an outer chunk, a multiple of `inner`.
        inner: c.
    """
    number, size = chunk_length(length, outer, inner)
    return number, size // inner, inner


def split(x, lengths):
    """Cuts a sequence into zero-padded chunks.

    Args:
        x: Tensor of shape (B, T, ...).
        lengths: (N, C), or (N, n, c) for n inner chunks in each.

    Returns:
        Tensor of shape (N, B, C, ...) or (N, B, n, c, ...).
    """
    batch = ops.shape(x)[0]
    x = ops.reshape(_padded(x, lengths), (batch, *lengths, *x.shape[2:]))
    return ops.swapaxes(x, 0, 1)


def split_heads(x, lengths, key_heads):
    """Cuts heads of vectors into chunks, those that share a head of keys in a row.

    Args:
        x: Tensor of shape (B, T, H, D).
        lengths: (N, C), or (N, n, c) for n inner chunks in each.
        key_heads: Hk, such that H = Hk·G.

    Returns:
        Tensor of shape (N, B, Hk, G·C, D) or (N, B, Hk, n, G·c, D).
    """
    heads, dim = x.shape[2:]
    batch, groups, last = ops.shape(x)[0], heads // key_heads, len(lengths)
    x = ops.reshape(_padded(x, lengths), (batch, *lengths, key_heads, groups, dim))
    x = ops.transpose(
        x, (1, 0, last + 1, *range(2, last), last + 2, last, last + 3)
    )  # (N, B, Hk, n, G, c, D)
    number, *inner, size = lengths
    return ops.reshape(x, (number, batch, key_heads, *inner, groups * size, dim))


def join_heads(x, lengths, length, heads):
    """Undoes `split_heads`: (N, B, Hk, n, G·c, D) to (B, T, H, D)."""
    number, *inner, size = lengths
    batch, key_heads, dim = ops.shape(x)[1], x.shape[2], x.shape[-1]
    groups, last = heads // key_heads, len(lengths)
    x = ops.reshape(x, (number, batch, key_heads, *inner, groups, size, dim))
    x = ops.transpose(x, (1, 0, *range(3, last + 1), last + 2, 2, last + 1, last + 3))
    whole = math.prod(lengths)
    x = ops.reshape(x, (batch, whole, heads, dim))
    return x if _are_equal(whole, length) else x[:, :length]


def split_keys(key, value, key_mask, lengths):
    """Chunks of keys, values and, where some do not count, of their mask.

    Args:
        key: Tensor of shape (B, S, Hk, D).
        value: Tensor of shape (B, S, Hk, Dv).
        key_mask: Boolean tensor of shape (B, S), or `None`.
        lengths: As for `split`.

    Returns:
        Tuple of two or three tensors. The mask is a float one, so that loops can
        carry it, and hides what fills the last chunk.
    """
    chunks = tuple(split_heads(x, lengths, key.shape[2]) for x in (key, value))
    if key_mask is None:
        if _are_equal(math.prod(lengths), key.shape[1]):
            return chunks
        key_mask = ops.ones(ops.shape(key)[:2])
    return (*chunks, split(ops.cast(key_mask, "float32"), lengths))


def _padded(x, lengths):
    length, whole = ops.shape(x)[1], math.prod(lengths)
    if _are_equal(whole, length):
        return x
    return ops.pad(x, [(0, 0), (0, whole - length)] + [(0, 0)] * (len(x.shape) - 2))


def _are_equal(a, b):
    """Whether two lengths are known, and equal."""
    return isinstance(a, int) and isinstance(b, int) and a == b


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
        mask = mask[:, None]
        present = mask[..., None] > 0
        key, value = (ops.where(present, x, ops.zeros_like(x)) for x in (key, value))
    key, value = wide(key), wide(value)
    features, log_weight = feature_map.keys(key, parameters)
    weight = ops.exp(ops.clip(log_weight, *LOG_WEIGHT_RANGE))
    if mask is not None:
        weight = weight * ops.cast(mask, weight.dtype)
    weight = weight[..., None]
    return features, ops.concatenate([value * weight, weight], axis=-1)


def outer_sum(values, features):
    """`[V, 1]ᵀ φ(K)`: (..., C, Dv + 1) and (..., C, M) to (..., Dv + 1, M)."""
    return ops.swapaxes(values, -1, -2) @ features


def read(features, sums):
    """`φ(Q) Sᵀ`: (..., C, M) and (..., Dv + 1, M) to (..., C, Dv + 1)."""
    return ops.einsum("...cm,...dm->...cd", features, sums)


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
