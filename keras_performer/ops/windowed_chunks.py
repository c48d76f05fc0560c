"""A pass over chunks with an exact kernel for local keys, features for global ones."""

from typing import Any, NamedTuple

import numpy as np
from keras import ops

from keras_performer.ops import checks, chunking, decay, kernel_sums
from keras_performer.ops.accumulation import (
    accumulation_dtype,
    to_accumulation_dtype,
)
from keras_performer.ops.backend import chunked_scan, running_sums
from keras_performer.ops.nonfinite import nan_after_nonfinite, zero_nonfinite
from keras_performer.ops.segments import (
    continues_segment,
    same_segment,
    segment_sums,
)


def chunk_sizes(window_size, chunk_size=64, outer_chunk_size=512):
    """Lengths of chunks such that a window spans two inner ones, for `inner_lengths`.

    Args:
        window_size: w.
        chunk_size: Positions of an inner chunk, which is as long as the window where
            that is longer.
        outer_chunk_size: Largest number of positions whose features exist at once, if
            it is not less than an inner chunk.
    """
    checks.check_positive("window_size", window_size)
    checks.check_positive("chunk_size", chunk_size)
    checks.check_positive("outer_chunk_size", outer_chunk_size)
    inner = max(window_size, chunk_size)
    outer = max(outer_chunk_size // inner, 1) * inner
    return {"chunk_size": inner, "outer_chunk_size": outer}


def larger(a, b):
    """The larger of each two numbers: `ops.maximum` narrows float64 on PyTorch."""
    return ops.where(a > b, a, b)


class ScaledSums(NamedTuple):
    """Numerators and denominators, (..., Dv + 1), that stand for sums · exp(scale)."""

    sums: Any
    scale: Any

    def plus(self, other):
        """Sums of both, at the larger of the two scales."""
        scale = larger(self.scale, other.scale)
        factors = (ops.exp(x.scale - scale) for x in (self, other))
        first, second = (ops.expand_dims(factor, -1) for factor in factors)
        return ScaledSums(self.sums * first + other.sums * second, scale)

    def flipped(self):
        """The sums from the last position to the first."""
        return ScaledSums(*map(chunking.flip, self))


class Carry(NamedTuple):
    """What one outer chunk leaves to the next.

    Attributes:
        sums: Sums (B, Hk, Dv + 1, M) of the keys before the last inner chunk.
        segment: The segment (B,) that they are of.
        key: Keys of the last inner chunk, (B, Hk, C, D).
        value: Its values, (B, Hk, C, Dv).
        segments: Its segments, (B, C).
        mask: 1 at its keys that count and 0 elsewhere, (B, C).
        log_decay: Its log decays, (B, Hk, C), or `None`.
    """

    sums: Any
    segment: Any
    key: Any
    value: Any
    segments: Any
    mask: Any
    log_decay: Any = None

    def present(self):
        """The tensors that there are, for `chunked_scan`."""
        return tuple(x for x in self if x is not None)


def first_carry(chunks, feature_map, parameters):
    """A `Carry` of nothing, for `Chunks`."""
    batch, heads = ops.shape(chunks.key)[1:3]
    key, value = (
        ops.zeros((batch, heads, *x.shape[-2:]), dtype=accumulation_dtype(x))
        for x in (chunks.key, chunks.value)
    )
    zeros = ops.zeros((batch, chunks.mask.shape[-1]), dtype="float32")
    sums = kernel_sums.initial_sums(chunks.key, chunks.value, feature_map, parameters)
    log_decay = None if chunks.log_decay is None else ops.zeros_like(key[..., 0])
    return Carry(sums, zeros[:, 0], key, value, zeros, zeros, log_decay)


def scan(chunks, carry, feature_map, parameters, window_size, log_weight, nearest=0):
    """Sums of each position over the keys at least `nearest` positions before it.

    Args:
        chunks: `chunking.Chunks` with a mask and segments, whose inner chunks are as
            long as the window or longer.
        carry: A `Carry`.
        feature_map: A `FeatureMap`.
        parameters: Dictionary of its tensors.
        window_size: w: keys less than w before a query are local.
        log_weight: Logarithm of the local kernel's factor, (H,).
        nearest: 0 or 1.

    Returns:
        `ScaledSums` of shapes (N, B, Hk, n, G·C, Dv + 1) and (N, B, Hk, n, G·C), and
        the last `Carry`.
    """
    tensors, bound = kernel_sums.bind(feature_map, parameters)

    def step(carry, chunk, shared):
        log_weight, *shared = shared
        chunk, nonfinite = zero_nonfinite(chunks.one(chunk))
        window = (window_size, log_weight, nearest)
        sums, carry = _intra_chunk_attention(
            Carry(*carry), chunk, feature_map, bound(shared), *window
        )
        nan, last_nan = nan_after_nonfinite(nonfinite, chunk.groups)
        carry = carry._replace(sums=carry.sums + last_nan)
        return carry.present(), (sums.sums + nan, sums.scale)

    carry, outputs = chunked_scan(
        step, carry.present(), chunks.present(), (log_weight, *tensors)
    )
    sums, scale = outputs
    # The loop's outputs may have forgotten lengths that are known (Keras 3.12).
    rows = ops.shape(chunks.query)[:-1]
    sums = ops.reshape(sums, (*rows, chunks.value.shape[-1] + 1))
    return ScaledSums(sums, scale), Carry(*carry)


def _intra_chunk_attention(
    carry, chunk, feature_map, parameters, window_size, log_weight, nearest
):
    # The n inner chunks, and the one before them: (B, Hk, n + 1, C, D), (B, n + 1, C).
    def joined(before, x, axis):
        return ops.concatenate([ops.expand_dims(before, axis), x], axis=axis)

    key, value = joined(carry.key, chunk.key, 2), joined(carry.value, chunk.value, 2)
    mask = joined(carry.mask, chunk.mask, 1)
    segments = joined(carry.segments, chunk.segments, 1)
    log_decay = cumulative = before_last = None
    if chunk.log_decay is not None:
        log_decay = joined(carry.log_decay, chunk.log_decay, 2)
        cumulative = running_sums(log_decay, axis=-1)  # (B, Hk, n + 1, C)
        before_last = cumulative[:, :, :-1]
    features, weighted = kernel_sums.weighted_keys(
        feature_map, parameters, key, value, mask
    )
    sums_before, segment_before, (sums, segment) = segment_sums(
        (carry.sums, carry.segment),
        features[:, :, :-1],
        weighted[:, :, :-1],
        segments[:, :-1],
        before_last,
    )
    query = to_accumulation_dtype(chunk.query)
    size, groups = key.shape[-2], chunk.groups
    local_keys, global_keys = [], []
    for before, part in ((size, slice(None, -1)), (0, slice(1, None))):
        present = ops.expand_dims(mask[:, part], -2) > 0
        same = same_segment(segments[:, 1:], segments[:, part])
        same = ops.logical_and(same, present)  # (B, n, C, C)
        distance = np.arange(size)[:, None] - np.arange(size) + before
        is_local = (nearest <= distance) & (distance < window_size)
        is_local, is_global = (
            ops.tile(ops.logical_and(same, x), (1, 1, groups, 1))[:, None]
            for x in (is_local, distance >= window_size)
        )
        log_factor = None
        if cumulative is not None:
            at_keys = cumulative[:, :, part]
            if before:
                at_keys = at_keys - at_keys[..., -1:]
            log_factor = _log_factor(
                cumulative[:, :, 1:], at_keys, distance >= 0, groups
            )
        local_keys.append((key[:, :, part], value[:, :, part], is_local, log_factor))
        global_keys.append(
            (features[:, :, part], weighted[:, :, part], is_global, log_factor)
        )
    sees_before = continues_segment(
        segments[:, 1:], segment_before, groups, query.dtype
    )
    if cumulative is not None:
        since = cumulative[:, :, 1:] + before_last[..., -1:]
        sees_before = sees_before * decay.from_start(since, groups)
    sums_of_each = local_and_global_sums(
        query,
        feature_map.queries(query, parameters),
        local_keys,
        global_keys,
        _for_each_position(log_weight, key.shape[1], groups, size),
        sums_before,
        sees_before,
    )
    last = (x[:, :, -1] for x in (key, value))
    last_decay = None if log_decay is None else log_decay[:, :, -1]
    carry = Carry(sums, segment, *last, segments[:, -1], mask[:, -1], last_decay)
    return sums_of_each, carry


def _log_factor(of_queries, of_keys, is_behind, groups):
    """Log factors of keys for the queries behind them, (B, Hk, n, G·C, C)."""
    difference = ops.expand_dims(of_queries, -1) - ops.expand_dims(of_keys, -2)
    difference = ops.where(is_behind, difference, ops.zeros_like(difference))
    return decay.for_groups(difference, groups, axis=3)


def _for_each_position(log_weight, key_heads, groups, size):
    """Numbers of the heads, (H,), for their rows of a chunk: (Hk, 1, G·C, 1)."""
    of_heads = ops.reshape(log_weight, (key_heads, 1, groups, 1))
    of_positions = ops.tile(of_heads, (1, 1, 1, size))
    return ops.reshape(of_positions, (key_heads, 1, groups * size, 1))


def local_and_global_sums(
    query, queries, local_keys, global_keys, log_weight, sums_before, sees_before=1
):
    """Sums of queries over local keys, global keys, and what came before both.

    Args:
        query: Queries of shape (..., G·C, D).
        queries: Their features (..., G·C, M) and log weights (..., G·C).
        local_keys: List of keys (..., C, D), values (..., C, Dv), a boolean tensor
            that broadcasts to (..., G·C, C), True where they are local, and the log
            decays from them to the queries, (..., G·C, C), or `None`.
        global_keys: List of features (..., C, M), weighted values (..., C, Dv + 1), a
            boolean tensor and log decays likewise.
        log_weight: Logarithm of the local kernel's factor, (..., G·C, 1).
        sums_before: Sums (..., Dv + 1, M) of what came before.
        sees_before: 1 where a query sees these, 0 elsewhere, (..., G·C, 1).

    Returns:
        `ScaledSums` of shapes (..., G·C, Dv + 1) and (..., G·C).
    """
    features, log_scale = queries
    query = query * query.shape[-1] ** -0.5
    logits = []
    for key, _, seen, log_factor in local_keys:
        block = query @ ops.swapaxes(key, -1, -2) + log_weight
        block = block if log_factor is None else block + log_factor
        logits.append(ops.where(seen, block, -np.inf))
    # The largest exponent: what it is cancels in the quotient.
    scale = log_scale
    for block in logits:
        scale = larger(scale, ops.max(block, axis=-1))
    scale = ops.stop_gradient(scale)

    features = features * ops.expand_dims(ops.exp(log_scale - scale), -1)
    sums = kernel_sums.query_sums(features, sums_before) * sees_before
    for keys, weighted, seen, log_factor in global_keys:
        kernel = features @ ops.swapaxes(keys, -1, -2)
        kernel = kernel if log_factor is None else kernel * ops.exp(log_factor)
        sums = sums + ops.where(seen, kernel, ops.zeros_like(kernel)) @ weighted
    for (_, value, *_), block in zip(local_keys, logits, strict=True):
        ones = ops.ones_like(value[..., :1])
        kernel = ops.exp(block - ops.expand_dims(scale, -1))
        sums = sums + kernel @ ops.concatenate([value, ones], axis=-1)
    return ScaledSums(sums, scale)
