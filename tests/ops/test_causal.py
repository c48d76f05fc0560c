"""Causal linear attention: the reference's values, and nothing from the future."""

import numpy as np
import pytest
from attention_inputs import (
    DV,
    B,
    H,
    T,
    causal_attention,
    draw,
    draw_map,
    draw_mask,
    kernel_attention,
    split_trainable,
)
from gradients import to_numpy, value_and_gradients
from tolerances import EXACT, assert_close

from keras_performer.ops.reference import causal_mask

LENGTHS = [2, T, 15, 16]
CHUNKS = [(1, 4), (3, 6), (5, 5), (64, 512)]  # inner, outer


def compare(name, dtype, length, chunks, key_mask=None):
    """Compares value and all gradients with the reference's in float64."""
    inputs = draw(dtype, length)
    feature_map, parameters = draw_map(name, dtype)
    trained, fixed = split_trainable(feature_map, parameters)
    names = list(trained)
    upstream = np.random.default_rng(1).standard_normal(inputs[2].shape)

    def fast(query, key, value, *tensors):
        return causal_attention(
            query,
            key,
            value,
            feature_map,
            fixed | dict(zip(names, tensors, strict=True)),
            key_mask=key_mask,
            chunk_size=chunks[0],
            outer_chunk_size=chunks[1],
        )

    mask = to_numpy(causal_mask(length))[None, None]
    if key_mask is not None:
        mask = mask & key_mask[:, None, None]

    def slow(query, key, value, *tensors):
        parameters = fixed | dict(zip(names, tensors, strict=True))
        return kernel_attention(query, key, value, feature_map, parameters, mask)

    arrays = [*inputs, *trained.values()]
    actual = value_and_gradients(fast, arrays, upstream.astype(dtype))
    exact = [x.astype(EXACT) for x in arrays]
    expected = value_and_gradients(slow, exact, upstream)
    assert_close(actual[0], expected[0], dtype)
    for a, b in zip(actual[1], expected[1], strict=True):
        assert a.dtype == dtype
        assert_close(a, b, dtype)


@pytest.mark.parametrize("chunks", CHUNKS, ids=str)
@pytest.mark.parametrize("length", LENGTHS)
def test_value_and_gradients(length, chunks):
    compare("learned", EXACT, length, chunks)


def test_chunks_of_a_single_position():
    compare("learned", EXACT, 5, (1, 1))


@pytest.mark.backends
@pytest.mark.parametrize("chunks", CHUNKS, ids=str)
def test_value_and_gradients_under_a_mask(chunks):
    compare("learned", EXACT, T, chunks, draw_mask(T))


@pytest.mark.parametrize("chunks", [(2, 4), (64, 512)], ids=str)
@pytest.mark.parametrize("name", ["softmax", "learned", "relu"])
def test_value_and_gradients_in_float32(name, chunks):
    compare(name, "float32", T, chunks, draw_mask(T))


def test_value_and_gradients_of_relu():
    compare("relu", EXACT, T, (2, 4), draw_mask(T))


def test_zero_length():
    query, key, value = draw(target=0)
    output = causal_attention(query, key, value, *draw_map("softmax"))
    assert to_numpy(output).shape == (B, 0, H, DV)


@pytest.mark.backends
@pytest.mark.parametrize("name", ["softmax", "relu"])
@pytest.mark.parametrize("chunks", [(3, 6), (64, 512)], ids=str)
@pytest.mark.parametrize("factor", [1, 10, 1000, 1e6, 1e15])
def test_the_past_is_bit_equal_whatever_follows(factor, chunks, name):
    arguments = draw_map(name, "float32")
    sizes = {"chunk_size": chunks[0], "outer_chunk_size": chunks[1]}
    inputs = draw("float32")
    before = to_numpy(causal_attention(*inputs, *arguments, **sizes))
    for position in (1, 6, T - 1):
        changed = [x.copy() for x in inputs]
        for x, y in zip(changed, draw("float32", seed=1), strict=True):
            x[:, position:] = factor * y[:, position:]
        after = to_numpy(causal_attention(*changed, *arguments, **sizes))
        assert np.array_equal(before[:, :position], after[:, :position])
        assert not np.array_equal(before[:, position], after[:, position])


@pytest.mark.parametrize("chunks", [(3, 6), (64, 512)], ids=str)
def test_no_gradient_comes_from_the_future(chunks):
    feature_map, parameters = draw_map("softmax")
    position = 8
    upstream = np.zeros((B, T, H, DV))
    upstream[:, :position] = 1.0

    def attend(query, key, value):
        return causal_attention(
            query,
            key,
            value,
            feature_map,
            parameters,
            chunk_size=chunks[0],
            outer_chunk_size=chunks[1],
        )

    _, gradients = value_and_gradients(attend, draw(), upstream)
    for gradient in gradients:
        assert np.all(gradient[:, position:] == 0)
        # The first position's output is its own value: no gradient to q and k there.
        assert np.all(np.any(gradient[:, 1:position] != 0, axis=(0, 2, 3)))


@pytest.mark.parametrize("length", [1, T])
def test_the_first_position_sees_only_itself(length):
    query, key, value = draw(target=length)
    output = causal_attention(query, key, value, *draw_map("softmax"))
    assert_close(to_numpy(output)[:, 0], value[:, 0], EXACT)


@pytest.mark.parametrize("source", [5, T - 1, T + 1, T + 7])
def test_keys_may_be_fewer_or_more_than_queries(source):
    inputs, arguments = draw(source=source), draw_map("softmax")
    key_mask = draw_mask(source)
    past = np.arange(T)[:, None] >= np.arange(source)
    actual = causal_attention(
        *inputs, *arguments, key_mask, chunk_size=2, outer_chunk_size=4
    )
    expected = kernel_attention(*inputs, *arguments, past & key_mask[:, None, None, :])
    assert_close(to_numpy(actual), to_numpy(expected), EXACT)
