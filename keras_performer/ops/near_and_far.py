"""One chunked pass with an exact kernel for near keys and feature maps for far ones."""

from typing import Any, NamedTuple

import numpy as np
from keras import ops

from keras_performer.ops import chunking, kernel_sums
from keras_performer.ops.backend import chunked_scan
from keras_performer.ops.packed import entered, flipped, same_run, states_of_runs


def chunk_sizes(window_size, chunk_size, outer_chunk_size):
    """Lengths (inner, outer) of chunks such that a window spans two inner ones."""
    inner = max(window_size, chunk_size)
    return inner, max(outer_chunk_size // inner, 1) * inner


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
        return self.sums * first + other.sums * second

    def flipped(self):
        """The sums from the last position to the first."""
        return ScaledSums(*map(flipped, self))


class Carry(NamedTuple):
    """What one outer chunk leaves to the next.

    Attributes:
        sums: Sums (B, Hk, Dv + 1, M) of the keys before the last inner chunk.
        run: The run (B,) that they are of.
        key: Keys of the last inner chunk, (B, Hk, C, D).
        value: Its values, (B, Hk, C, Dv).
        runs: Its runs, (B, C).
        mask: 1 at its keys that count and 0 elsewhere, (B, C).
    """

    sums: Any
    run: Any
    key: Any
    value: Any
    runs: Any
    mask: Any


def first_carry(chunks, feature_map, parameters):
    """A `Carry` of nothing, for `PackedChunks`."""
    batch, heads = ops.shape(chunks.key)[1:3]
    key, value = (
        ops.zeros((batch, heads, *x.shape[-2:]), dtype=chunking.wide_dtype(x))
        for x in (chunks.key, chunks.value)
    )
    runs, mask = (
        ops.zeros((batch, x.shape[-1]), dtype=x.dtype)
        for x in (chunks.runs, chunks.mask)
    )
    sums = kernel_sums.initial_sums(chunks.key, chunks.value, feature_map, parameters)
    return Carry(sums, ops.zeros((batch,), dtype=runs.dtype), key, value, runs, mask)


def scan(chunks, carry, feature_map, parameters, window_size, log_weight, nearest=0):
    """Sums of each position over the keys at least `nearest` positions before it.

    Args:
        chunks: `packed.PackedChunks`, whose inner chunks are as long as the window or
            longer.
        carry: A `Carry`.
        feature_map: A `FeatureMap`.
        parameters: Dictionary of its tensors.
        window_size: w: keys less than w before a query are near.
        log_weight: Logarithm of the near kernel's factor, (H,).
        nearest: 0 or 1.

    Returns:
        `ScaledSums` of shapes (N, B, Hk, n, G·C, Dv + 1) and (N, B, Hk, n, G·C), and
        the last `Carry`.
    """
    tensors, bound = kernel_sums.bind(feature_map, parameters)
    groups = chunks.query.shape[-2] // chunks.key.shape[-2]

    def step(carry, chunk, shared):
        carry, chunk = Carry(*carry), type(chunks)(*chunk)
        log_weight, *shared = shared
        sound = kernel_sums.set_aside_broken(chunk.key, chunk.value, chunk.mask)
        key, value, broken = sound
        sums, carry = _attend_within(
            carry,
            chunk._replace(key=key, value=value),
            feature_map,
            bound(shared),
            window_size,
            log_weight,
            nearest,
        )
        poison, last_poison = kernel_sums.poison(broken, groups)
        carry = carry._replace(sums=carry.sums + last_poison)
        return tuple(carry), (sums.sums + poison, sums.scale)

    carry, outputs = chunked_scan(
        step, tuple(carry), tuple(chunks), (log_weight, *tensors)
    )
    sums, scale = outputs
    # The loop's outputs may have forgotten lengths that are known (Keras 3.12).
    rows = ops.shape(chunks.query)[:-1]
    sums = ops.reshape(sums, (*rows, chunks.value.shape[-1] + 1))
    return ScaledSums(sums, scale), Carry(*carry)


def _attend_within(
    carry, chunk, feature_map, parameters, window_size, log_weight, nearest
):
    # The n inner chunks, and the one before them: (B, Hk, n + 1, C, D).
    key, value = (
        ops.concatenate([before[:, :, None], x], axis=2)
        for before, x in ((carry.key, chunk.key), (carry.value, chunk.value))
    )
    runs, mask = (
        ops.concatenate([before[:, None], ops.cast(x, before.dtype)], axis=1)
        for before, x in ((carry.runs, chunk.runs), (carry.mask, chunk.mask))
    )
    features, weighted = kernel_sums.weighted_keys(
        feature_map, parameters, key, value, mask
    )
    states, ends, (sums, run) = states_of_runs(
        (carry.sums, carry.run), features[:, :, :-1], weighted[:, :, :-1], runs[:, :-1]
    )
    query = chunking.wide(chunk.query)
    size = key.shape[-2]
    groups = query.shape[-2] // size
    near, far = [], []
    for before, part in ((size, slice(None, -1)), (0, slice(1, None))):
        present = ops.expand_dims(mask[:, part], -2) > 0
        same = same_run(chunk.runs, runs[:, part])
        same = ops.logical_and(same, present)  # (B, n, C, C)
        distance = np.arange(size)[:, None] - np.arange(size) + before
        is_near = (nearest <= distance) & (distance < window_size)
        is_near, is_far = (
            ops.tile(ops.logical_and(same, x), (1, 1, groups, 1))[:, None]
            for x in (is_near, distance >= window_size)
        )
        near.append((key[:, :, part], value[:, :, part], is_near))
        far.append((features[:, :, part], weighted[:, :, part], is_far))
    sums_of_each = near_and_far(
        query,
        feature_map.queries(query, parameters),
        near,
        far,
        _for_each_position(log_weight, key.shape[1], groups, size),
        states,
        entered(chunk.runs, ends, groups, query.dtype),
    )
    last = (x[:, :, -1] for x in (key, value))
    return sums_of_each, Carry(sums, run, *last, runs[:, -1], mask[:, -1])


def _for_each_position(log_weight, key_heads, groups, size):
    """Numbers of the heads, (H,), for their rows of a chunk: (Hk, 1, G·C, 1)."""
    of_heads = ops.reshape(log_weight, (key_heads, 1, groups, 1))
    of_positions = ops.tile(of_heads, (1, 1, 1, size))
    return ops.reshape(of_positions, (key_heads, 1, groups * size, 1))


def near_and_far(query, queries, near, far, log_weight, states, reads=1):
    """Sums of queries over near keys, far keys, and what came before both.

    Args:
        query: Queries of shape (..., G·C, D).
        queries: Their features (..., G·C, M) and log weights (..., G·C).
        near: List of keys (..., C, D), values (..., C, Dv), and a boolean tensor that
            broadcasts to (..., G·C, C), True where they are near.
        far: List of features (..., C, M), weighted values (..., C, Dv + 1), and a
            boolean tensor likewise.
        log_weight: Logarithm of the near kernel's factor, (..., G·C, 1).
        states: Sums (..., Dv + 1, M) of what came before.
        reads: 1 where a query sees these, 0 elsewhere, (..., G·C, 1).

    Returns:
        `ScaledSums` of shapes (..., G·C, Dv + 1) and (..., G·C).
    """
    features, log_scale = queries
    query = query * query.shape[-1] ** -0.5
    logits = [
        ops.where(seen, query @ ops.swapaxes(key, -1, -2) + log_weight, -np.inf)
        for key, _, seen in near
    ]
    # The largest exponent: what it is cancels in the quotient.
    scale = log_scale
    for block in logits:
        scale = larger(scale, ops.max(block, axis=-1))
    scale = ops.stop_gradient(scale)

    features = features * ops.expand_dims(ops.exp(log_scale - scale), -1)
    sums = kernel_sums.read(features, states) * reads
    for keys, weighted, seen in far:
        kernel = features @ ops.swapaxes(keys, -1, -2)
        sums = sums + ops.where(seen, kernel, ops.zeros_like(kernel)) @ weighted
    for (_, value, _), block in zip(near, logits, strict=True):
        ones = ops.ones_like(value[..., :1])
        kernel = ops.exp(block - ops.expand_dims(scale, -1))
        sums = sums + kernel @ ops.concatenate([value, ones], axis=-1)
    return ScaledSums(sums, scale)
