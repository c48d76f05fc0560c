"""Chunks of a sequence: their lengths, and tensors cut into them and joined."""

import math
from typing import Any, NamedTuple

from keras import ops

from keras_performer.ops.checks import check_positive


class Chunks(NamedTuple):
    """The inputs of attention in N outer chunks of n inner ones, or one of the N.

    Attributes:
        query: Tensor of shape (N, B, Hk, n, G·C, D).
        key: Tensor of shape (N, B, Hk, n, C, D).
        value: Tensor of shape (N, B, Hk, n, C, Dv).
        mask: 1 at the keys that count and 0 elsewhere, (N, B, n, C); or `None`, where
            all count.
        segments: Numbers of the segments, ascending, (N, B, n, C), or `None`.
        log_decay: Log decays of the sums, (N, B, Hk, n, C), or `None`.
    """

    query: Any
    key: Any
    value: Any
    mask: Any = None
    segments: Any = None
    log_decay: Any = None

    @property
    def groups(self):
        """G, heads of queries for each head of keys."""
        return self.query.shape[-2] // self.key.shape[-2]

    def present(self):
        """The tensors that there are, for `chunked_scan`."""
        return tuple(x for x in self if x is not None)

    def one(self, tensors):
        """One outer chunk, of what `chunked_scan` gives for `present`."""
        tensors = iter(tensors)
        return Chunks(*(None if x is None else next(tensors) for x in self))

    def flipped(self):
        """The chunks from the last position to the first."""
        return Chunks(
            *map(flip, self[:3]),
            *(None if x is None else flip(x, (2, 3)) for x in self[3:5]),
            None if self.log_decay is None else flip(self.log_decay),
        )


def split_inputs(
    query, key, value, lengths, key_mask=None, segments=None, log_decay=None
):
    """Cuts the inputs of attention into chunks.

    Args:
        query: Tensor of shape (B, T, H, D).
        key: Tensor of shape (B, S, Hk, D).
        value: Tensor of shape (B, S, Hk, Dv).
        lengths: (N, n, c) for n inner chunks in each of N outer ones.
        key_mask: Boolean tensor of shape (B, S), or `None`. It hides what fills the
            last chunk, too.
        segments: Numbers of the segments, (B, S), or `None`.
        log_decay: Log decays of the sums, (B, S, Hk), or `None`.

    Returns:
        `Chunks`.
    """
    keys, values, *mask = split_keys(key, value, key_mask, lengths)
    if log_decay is not None:
        log_decay = ops.expand_dims(log_decay, -1)
        log_decay = split_heads(log_decay, lengths, key.shape[2])
        log_decay = ops.squeeze(log_decay, axis=-1)  # LiteRT slices no six axes
    return Chunks(
        split_heads(query, lengths, key.shape[2]),
        keys,
        values,
        mask[0] if mask else None,
        None if segments is None else split(segments, lengths),
        log_decay,
    )


def flip(x, axes=(3, 4)):
    """Chunks (N, B, Hk, n, C, ...) from the last position to the first.

    Args:
        x: Tensor whose first axis counts outer chunks.
        axes: Those of the inner chunks and of the positions.
    """
    # One at a time: LiteRT reverses no axes that are apart, Keras 3.12 no tuples.
    for axis in (0, *axes):
        x = ops.flip(x, axis=axis)
    return x


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


def inner_lengths(length, chunk_size=64, outer_chunk_size=512):
    """Lengths (N, n, C) of n inner chunks in each of N outer ones; see `chunk_length`.

    Args:
        length: Length of the sequence, an int, or a scalar tensor where unknown.
        chunk_size: C.
        outer_chunk_size: Largest length of an outer chunk, a multiple of C.

    Raises:
        ValueError: If a size is not positive, or an outer chunk no multiple of C.
    """
    check_positive("chunk_size", chunk_size)
    check_positive("outer_chunk_size", outer_chunk_size)
    if outer_chunk_size % chunk_size:
        raise ValueError(
            "`outer_chunk_size` must be a multiple of `chunk_size`. Received: "
            f"outer_chunk_size={outer_chunk_size}, chunk_size={chunk_size}"
        )
    number, size = chunk_length(length, outer_chunk_size, chunk_size)
    return number, size // chunk_size, chunk_size


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
    """Cuts heads into chunks, those that share a head of keys in a row.

    Args:
        x: Tensor of shape (B, T, H, D).
        lengths: (N, C), or (N, n, c) for n inner chunks in each.
        key_heads: Hk, such that H = Hk·G.

    Returns:
        Tensor of shape (N, B, Hk, G·C, D) or (N, B, Hk, n, G·c, D).
    """
    heads, dim = x.shape[2:]
    batch, groups, last = ops.shape(x)[0], heads // key_heads, len(lengths)
    x = ops.reshape(_padded(x, lengths), (batch, *lengths, key_heads, groups * dim))
    x = ops.transpose(
        x, (1, 0, last + 1, *range(2, last + 1), last + 2)
    )  # (N, B, Hk, n, c, G·D)
    number, *inner, size = lengths
    if groups > 1:  # in a second step: LiteRT transposes no more than six axes
        rows = number * batch * key_heads * math.prod(inner)
        x = ops.swapaxes(ops.reshape(x, (rows, size, groups, dim)), 1, 2)
    return ops.reshape(x, (number, batch, key_heads, *inner, groups * size, dim))


def join_heads(x, lengths, length, heads):
    """Undoes `split_heads`: (N, B, Hk, n, G·c, D) to (B, T, H, D)."""
    number, *inner, size = lengths
    batch, key_heads, dim = ops.shape(x)[1], x.shape[2], x.shape[-1]
    groups, last = heads // key_heads, len(lengths)
    if groups > 1:
        rows = number * batch * key_heads * math.prod(inner)
        x = ops.swapaxes(ops.reshape(x, (rows, groups, size, dim)), 1, 2)
    x = ops.reshape(x, (number, batch, key_heads, *inner, size, groups * dim))
    x = ops.transpose(x, (1, 0, *range(3, last + 2), 2, last + 2))
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
