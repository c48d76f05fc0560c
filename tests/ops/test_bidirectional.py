"""Bidirectional linear attention against the quadratic reference."""

import numpy as np
import pytest
from attention_inputs import (
    S,
    T,
    bidirectional_attention,
    draw,
    draw_map,
    draw_mask,
    kernel_attention,
    split_trainable,
)
from gradients import to_numpy, value_and_gradients
from tolerances import EXACT, RELATIVE_RMSE, assert_close

LENGTHS = [(T, S), (1, S), (16, 32)]  # targets, sources
CHUNK_SIZES = [1, 4, 7, 1024]


def compare(name, dtype, target, source, chunk_size, key_mask=None):
    """Compares value and all gradients with the reference's in float64."""
    inputs = draw(dtype, target, source)
    feature_map, parameters = draw_map(name, dtype)
    trained, fixed = split_trainable(feature_map, parameters)
    names = list(trained)
    upstream = np.random.default_rng(1).standard_normal((*inputs[0].shape[:3], 7))

    def fast(query, key, value, *tensors):
        return bidirectional_attention(
            query,
            key,
            value,
            feature_map,
            fixed | dict(zip(names, tensors, strict=True)),
            key_mask=key_mask,
            chunk_size=chunk_size,
        )

    def slow(query, key, value, *tensors):
        mask = None if key_mask is None else key_mask[:, None, None]
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


@pytest.mark.parametrize("chunk_size", CHUNK_SIZES)
@pytest.mark.parametrize(("target", "source"), LENGTHS)
def test_value_and_gradients(target, source, chunk_size):
    compare("learned", EXACT, target, source, chunk_size)


@pytest.mark.backends
@pytest.mark.parametrize("chunk_size", CHUNK_SIZES)
def test_value_and_gradients_under_a_mask(chunk_size):
    compare("learned", EXACT, T, S, chunk_size, draw_mask())


@pytest.mark.parametrize("chunk_size", [4, 1024])
@pytest.mark.parametrize("name", ["softmax", "learned", "relu"])
def test_value_and_gradients_in_float32(name, chunk_size):
    compare(name, "float32", T, S, chunk_size, draw_mask())


def test_value_and_gradients_of_relu():
    compare("relu", EXACT, T, S, 4, draw_mask())


def test_a_single_key_gets_all_attention():
    inputs = draw(target=T, source=1)
    arguments = draw_map("softmax")
    upstream = np.ones((*inputs[0].shape[:3], 7))

    def attend(query, key, value):
        return bidirectional_attention(query, key, value, *arguments)

    output, gradients = value_and_gradients(attend, inputs, upstream)
    assert_close(output, np.repeat(inputs[2], T, axis=1), EXACT)
    assert_close(gradients[2], np.full_like(inputs[2], T), EXACT)
    for gradient in gradients[:2]:
        assert np.max(np.abs(gradient)) < RELATIVE_RMSE[EXACT]


@pytest.mark.parametrize(
    ("target", "source"), [(0, S), (T, 0), (0, 0)], ids=["targets", "sources", "both"]
)
def test_zero_length(target, source):
    query, key, value = draw(target=target, source=source)
    output = bidirectional_attention(query, key, value, *draw_map("softmax"))
    output = to_numpy(output)
    assert output.shape == (*query.shape[:3], value.shape[3])
    assert np.all(output == 0)
