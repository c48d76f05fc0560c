"""Moments of queries and keys, against NumPy."""

import numpy as np
import pytest
from compilers import wrappers
from gradients import to_numpy
from keras import ops
from tolerances import assert_close

from keras_performer.feature_maps import Moments

B, T, S, H, D = 2, 13, 17, 6, 5


def draw(*shape, seed=0):
    x = np.random.default_rng(seed).standard_normal(shape) + 0.5
    return x.astype("float32")


def draw_mask(length):
    return np.random.default_rng(length).random((B, length)) < 0.6


def expected(x, mask, key_heads):
    """Mean and second moment by loops: `E[x]` and `E[x xᵀ]` of each head of keys."""
    means, squares = [], []
    groups = x.shape[2] // key_heads
    for head in range(key_heads):
        rows = [
            np.float64(x[b, t, head * groups + g])
            for b, t, g in np.ndindex(B, x.shape[1], groups)
            if mask is None or mask[b, t]
        ]
        means.append(sum(rows) / len(rows))
        squares.append(sum(np.outer(row, row) for row in rows) / len(rows))
    return np.stack(means), np.stack(squares)


def compare(actual, query, key, query_mask, key_mask):
    truth = [
        *expected(query, query_mask, key.shape[2]),
        *expected(key, key_mask, key.shape[2]),
    ]
    for a, b in zip(actual, truth, strict=True):
        assert_close(to_numpy(a), b)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("key_heads", [1, 3, 6])
def test_values(key_heads, masked):
    query, key = draw(B, T, H, D), draw(B, S, key_heads, D, seed=1)
    masks = (draw_mask(T), draw_mask(S)) if masked else (None, None)
    moments = Moments.of(query, key, *masks)
    assert [tuple(x.shape) for x in moments] == [
        (key_heads, D),
        (key_heads, D, D),
    ] * 2
    compare(moments, query, key, *masks)


@pytest.mark.parametrize("content", [np.nan, np.inf, 1e30])
def test_what_a_mask_hides_does_not_count(content):
    query, key = draw(B, T, H, D), draw(B, S, 3, D, seed=1)
    masks = draw_mask(T), draw_mask(S)
    before = [to_numpy(x) for x in Moments.of(query, key, *masks)]
    for x, mask in ((query, masks[0]), (key, masks[1])):
        x[~mask] = content
    for a, b in zip(before, Moments.of(query, key, *masks), strict=True):
        assert np.array_equal(a, to_numpy(b))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64"])
def test_they_are_of_float32(dtype):
    query = ops.cast(draw(B, 3000, 1, D), dtype)
    moments = Moments.of(query, query)
    assert all("float32" in str(x.dtype) for x in moments)
    wide = to_numpy(ops.cast(query, "float32"))
    compare(moments, wide, wide, None, None)


@pytest.mark.parametrize("dtype", ["int32", "float32"])
def test_masks_of_any_dtype(dtype):
    x, mask = draw(B, T, H, D), draw_mask(T)
    moments = [Moments.of(x, x, m, m) for m in (mask, mask.astype(dtype))]
    for a, b in zip(*moments, strict=True):
        assert np.array_equal(to_numpy(a), to_numpy(b))


@pytest.mark.parametrize("length", [0, T])
def test_of_nothing_they_are_zeros(length):
    x, mask = draw(B, length, H, D), np.zeros((B, length), "bool")
    for moment in Moments.of(x, x, mask, mask):
        assert np.all(to_numpy(moment) == 0)


@pytest.mark.backends
def test_graph_and_compiled_are_as_eager():
    query, key = draw(B, T, H, D), draw(B, S, 3, D, seed=1)
    masks = draw_mask(T), draw_mask(S)
    arguments = [ops.convert_to_tensor(x) for x in (query, key, *masks)]
    for wrap in wrappers():
        moments = wrap(lambda *x: tuple(Moments.of(*x)))(*arguments)
        compare(moments, query, key, *masks)
