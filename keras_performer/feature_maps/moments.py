"""Moments of queries and keys: what data-dependent feature maps know of the data."""

from typing import Any, NamedTuple

from keras import ops


class Moments(NamedTuple):
    """First and second moments of queries and keys, for each head of keys.

    Attributes:
        query_mean: `E[q]`, of shape (Hk, D).
        query_square: `E[q qᵀ]`, of shape (Hk, D, D).
        key_mean: `E[k]`, of shape (Hk, D).
        key_square: `E[k kᵀ]`, of shape (Hk, D, D).
    """

    query_mean: Any
    query_square: Any
    key_mean: Any
    key_square: Any

    @classmethod
    def of(cls, query, key, query_mask=None, key_mask=None):
        """The moments of a batch.

        Args:
            query: Tensor of shape (B, T, H, D).
            key: Tensor of shape (B, S, Hk, D), with H a multiple of Hk.
            query_mask: Boolean tensor of shape (B, T), True at the positions that
                count; or `None`, where all do.
            key_mask: Boolean tensor of shape (B, S), likewise.

        Returns:
            `Moments` of float32 tensors.

        Example:

        >>> import numpy as np
        >>> x = np.array([[[[1.0, 2.0]], [[3.0, 0.0]]]], "float32")
        >>> Moments.of(x, x).key_mean.numpy().tolist()
        [[2.0, 1.0]]
        """
        key_heads = key.shape[2]
        return cls(
            *_mean_and_square(query, query_mask, key_heads),
            *_mean_and_square(key, key_mask, key_heads),
        )

    @classmethod
    def mean(cls, moments):
        """The mean of the moments of several batches, each of equal weight."""
        return cls(*(sum(x) / len(moments) for x in zip(*moments, strict=True)))


def _mean_and_square(x, mask, key_heads):
    x = ops.cast(x, "float32")
    batch, length, heads, dim = ops.shape(x)
    x = ops.reshape(x, (batch, length, key_heads, heads // key_heads, dim))
    if mask is None:
        count = ops.cast(batch * length, "float32")
    else:
        mask = ops.cast(mask, "bool")
        x = ops.where(mask[:, :, None, None, None], x, ops.zeros_like(x))
        count = ops.sum(ops.cast(mask, "float32"))
    count = ops.maximum(count, 1.0) * (heads // key_heads)
    mean = ops.sum(x, axis=(0, 1, 3)) / count
    return mean, ops.einsum("bthgd,bthge->hde", x, x) / count
