"""Grouped key/value heads: as if each head of keys were there for every query head."""

import itertools

import keras
import numpy as np
import pytest
from attention_inputs import (
    DV,
    B,
    D,
    draw_map,
    draw_mask,
    exact_attention,
    kernel_attention,
    kernel_attention_scores,
    split_trainable,
)
from gradients import on_arrays, to_numpy, value_and_gradients
from keras import ops
from tolerances import EXACT, assert_close

from keras_performer import ops as performer_ops
from keras_performer.ops.bidirectional import bidirectional_attention
from keras_performer.ops.causal import causal_attention
from keras_performer.ops.packed import packed_attention
from keras_performer.ops.reference import causal_mask

H, T, S = 6, 13, 17
IDS = np.array([[5] * 13, [3, 1, 1, 1, 1, 1, 3, 3, 3, 4, 4, 4, 9]])
CHUNKS = {"chunk_size": 2, "outer_chunk_size": 6}


def bidirectional(query, key, value, feature_map, parameters, key_mask):
    return bidirectional_attention(
        query, key, value, feature_map, parameters, key_mask, chunk_size=5
    )


def causal(*inputs):
    return causal_attention(*inputs, **CHUNKS)


def packed_bidirectional(*inputs):
    *inputs, key_mask = inputs
    return packed_attention(*inputs, IDS, key_mask, causal=False, **CHUNKS)


def packed_causal(*inputs):
    *inputs, key_mask = inputs
    return packed_attention(*inputs, IDS, key_mask, causal=True, **CHUNKS)


def recurrent(query, key, value, feature_map, parameters, key_mask):
    """A prefill of seven positions, another of three, and steps for the others."""
    size = feature_map.size(D, parameters)
    dtype = keras.backend.standardize_dtype(value.dtype)
    state = performer_ops.initial_state(B, key.shape[2], size, DV, dtype)
    outputs, bounds = [], [0, 7, 10, *range(11, T + 1)]
    for start, end in itertools.pairwise(bounds):
        span = [x[:, start:end] for x in (query, key, value)]
        attend, sizes = performer_ops.prefill, CHUNKS
        if end - start == 1:
            attend, sizes = performer_ops.step, {}
        mask = None if key_mask is None else key_mask[:, start:end]
        output, state = attend(
            state, *span, feature_map, parameters, key_mask=mask, **sizes
        )
        outputs.append(output)
    return ops.concatenate(outputs, axis=1)


FORMS = {
    "bidirectional": bidirectional,
    "causal": causal,
    "packed_bidirectional": packed_bidirectional,
    "packed_causal": packed_causal,
    "recurrent": recurrent,
}


def visible(form, source):
    """The (B, 1, T, S) mask of a form."""
    mask = np.ones((B, 1, T, source), "bool")
    if form in ("causal", "packed_causal", "recurrent"):
        mask = mask & to_numpy(causal_mask(T))
    if form.startswith("packed"):
        segments = np.cumsum(
            np.pad(IDS[:, 1:] != IDS[:, :-1], [(0, 0), (1, 0)]), axis=1
        )
        mask = mask & (segments[:, :, None] == segments[:, None, :])[:, None]
    return mask


def draw(key_heads, source=T, dtype=EXACT):
    generator = np.random.default_rng(0)
    shapes = [(B, T, H, D), (B, source, key_heads, D), (B, source, key_heads, DV)]
    return [generator.standard_normal(shape).astype(dtype) for shape in shapes]


def repeated(x, axis):
    """Each head of keys in a row, for all of its H heads of queries."""
    return ops.repeat(x, H // x.shape[axis], axis=axis)


def repeated_parameters(feature_map, parameters):
    """Parameters of each head of keys, for all of its heads of queries."""
    if not (feature_map.adapts or feature_map.trainable):
        return parameters
    return {
        name: x if name == "projection" and feature_map.adapts else repeated(x, 0)
        for name, x in parameters.items()
    }


@pytest.mark.cases(
    "bidirectional-learned-True-3", "causal-learned-True-3", "recurrent-aderf-True-6"
)
@pytest.mark.parametrize(
    ("name", "masked", "key_heads"),
    [
        ("learned", False, 1),
        ("learned", True, 1),
        ("learned", True, 3),
        ("aderf", False, 3),
        ("aderf", True, 6),
    ],
)
@pytest.mark.parametrize("form", FORMS)
def test_value_and_gradients(form, key_heads, masked, name):
    source = S if form == "bidirectional" else T
    inputs = draw(key_heads, source)
    feature_map, parameters = draw_map(name, heads=key_heads)
    trained, fixed = split_trainable(feature_map, parameters)
    key_mask = draw_mask(source) if masked else None
    mask = visible(form, source)
    if masked:
        mask = mask & key_mask[:, None, None]

    def fast(query, key, value, *tensors):
        values = fixed | dict(zip(trained, tensors, strict=True))
        attend = on_arrays(FORMS[form])
        return attend(query, key, value, feature_map, values, key_mask)

    def slow(query, key, value, *tensors):
        values = fixed | dict(zip(trained, tensors, strict=True))
        values = repeated_parameters(feature_map, values)
        key, value = repeated(key, 2), repeated(value, 2)
        return kernel_attention(query, key, value, feature_map, values, mask)

    arrays = [*inputs, *trained.values()]
    shape = (B, T, H, DV)
    upstream = np.random.default_rng(1).standard_normal(shape).astype(EXACT)
    actual = value_and_gradients(fast, arrays, upstream)
    expected = value_and_gradients(slow, arrays, upstream)
    assert actual[0].shape == shape
    assert_close(actual[0], expected[0], EXACT)
    for a, b in zip(actual[1], expected[1], strict=True):
        assert_close(a, b, EXACT)


@pytest.mark.parametrize("form", FORMS)
def test_in_float32(form):
    inputs = draw(3, dtype="float32")
    feature_map, parameters = draw_map("softmax", "float32", heads=3)
    attend = on_arrays(FORMS[form])
    actual = attend(*inputs, feature_map, parameters, draw_mask(T))
    mask = visible(form, T) & draw_mask(T)[:, None, None]
    query, key, value = (x.astype(EXACT) for x in inputs)
    key, value = (np.repeat(x, H // 3, axis=2) for x in (key, value))
    exact = {name: x.astype(EXACT) for name, x in parameters.items()}
    expected = kernel_attention(query, key, value, feature_map, exact, mask)
    assert_close(to_numpy(actual), to_numpy(expected), "float32")


@pytest.mark.parametrize("key_heads", [1, 3, 6])
@pytest.mark.parametrize("name", ["learned", "favor_sharp", "relu"])
def test_the_reference(name, key_heads):
    query, key, value = draw(key_heads, S)
    feature_map, parameters = draw_map(name, heads=key_heads)
    mask = draw_mask()[:, None, None]
    whole = repeated_parameters(feature_map, parameters)
    whole = {key: to_numpy(ops.convert_to_tensor(x)) for key, x in whole.items()}
    keys, values = (np.repeat(x, H // key_heads, axis=2) for x in (key, value))

    grouped = kernel_attention_scores(query, key, feature_map, parameters, mask)
    expected = kernel_attention_scores(query, keys, feature_map, whole, mask)
    assert tuple(grouped.shape) == (B, H, T, S)
    assert_close(to_numpy(grouped), to_numpy(expected), EXACT)
    output = kernel_attention(query, key, value, feature_map, parameters, mask)
    expected = np.einsum("bhts,bshd->bthd", to_numpy(expected), values)
    assert_close(to_numpy(output), expected, EXACT)


@pytest.mark.parametrize("key_heads", [1, 3, 6])
def test_exact_attention(key_heads):
    query, key, value = draw(key_heads, S)
    mask = draw_mask()[:, None, None]
    keys, values = (np.repeat(x, H // key_heads, axis=2) for x in (key, value))
    kernel = np.exp(np.einsum("bthd,bshd->bhts", query, keys) / D**0.5) * mask
    kernel /= kernel.sum(-1, keepdims=True)
    expected = np.einsum("bhts,bshd->bthd", kernel, values)
    assert_close(to_numpy(exact_attention(query, key, value, mask)), expected, EXACT)


@pytest.mark.parametrize("form", FORMS)
def test_groups_have_no_influence_on_each_other(form):
    inputs, arguments = draw(3, dtype="float32"), draw_map("softmax", "float32")
    attend = on_arrays(FORMS[form])
    before = to_numpy(attend(*inputs, *arguments, None))
    for x, y in zip(inputs[1:], draw(3, dtype="float32")[1:], strict=True):
        x[:, :, 1] = 1e3 * y[::-1, :, 1]
    after = to_numpy(attend(*inputs, *arguments, None))
    others = [0, 1, 4, 5]
    assert np.array_equal(before[:, :, others], after[:, :, others])
    assert np.all(np.any(before[:, 1:, 2:4] != after[:, 1:, 2:4], axis=(0, 1, 3)))


@pytest.mark.parametrize("form", ["bidirectional", "causal"])
def test_heads_that_are_no_multiple_are_refused(form):
    query, _, _ = draw(1)
    _, key, value = draw(4)
    with pytest.raises(ValueError, match="heads of `query` must be a multiple"):
        on_arrays(FORMS[form])(query, key, value, *draw_map("relu"), None)
