"""Streams, with a window or without: any cut gives what the whole gives."""

import itertools

import keras
import numpy as np
import pytest
from attention_inputs import (
    DV,
    B,
    D,
    H,
    M,
    T,
    draw,
    draw_map,
    draw_mask,
    split_trainable,
)
from gradients import to_numpy, value_and_gradients
from keras import ops
from tolerances import assert_close

from keras_performer.ops import initial_state, prefill, step
from keras_performer.ops.causal import causal_attention
from keras_performer.ops.windowed import windowed_attention

CHUNKS = {"chunk_size": 2, "outer_chunk_size": 4}
LOG_WEIGHT = np.array([0.5, -1.0, 2.0])
CUTS = [(0,), (1,), (5,), (T,), (1, 2, 9), (4, 4, 8), tuple(range(T))]


def size_of(feature_map, parameters):
    return feature_map.size(5, parameters)


def attend_in_spans(cuts, inputs, feature_map, parameters, key_mask=None):
    """Attention span by span: `prefill` for each, from the state of the last."""
    state = initial_state(
        B,
        H,
        size_of(feature_map, parameters),
        DV,
        keras.backend.standardize_dtype(inputs[0].dtype),
    )
    outputs = []
    bounds = [0, *cuts, T]
    for start, end in itertools.pairwise(bounds):
        mask = None if key_mask is None else key_mask[:, start:end]
        output, state = prefill(
            state,
            *(x[:, start:end] for x in inputs),
            feature_map,
            parameters,
            key_mask=mask,
            **CHUNKS,
        )
        outputs.append(output)
    return ops.concatenate(outputs, axis=1)


@pytest.mark.parametrize("name", ["learned", "relu"])
@pytest.mark.parametrize("cuts", CUTS, ids=str)
def test_split_and_resume_with_gradients(cuts, name):
    inputs, mask = draw(), draw_mask(T)
    feature_map, parameters = draw_map(name)
    trained, fixed = split_trainable(feature_map, parameters)
    upstream = np.random.default_rng(1).standard_normal((B, T, H, DV))

    def function(attend):
        def attend_with(query, key, value, *tensors):
            values = fixed | dict(zip(trained, tensors, strict=True))
            return attend((query, key, value), feature_map, values)

        return attend_with

    whole = function(
        lambda inputs, feature_map, parameters: causal_attention(
            *inputs, feature_map, parameters, key_mask=mask
        )
    )
    spans = function(
        lambda inputs, feature_map, parameters: attend_in_spans(
            cuts, inputs, feature_map, parameters, mask
        )
    )
    arrays = [*inputs, *trained.values()]
    actual = value_and_gradients(spans, arrays, upstream)
    expected = value_and_gradients(whole, arrays, upstream)
    assert_close(actual[0], expected[0], "float64")
    for a, b in zip(actual[1], expected[1], strict=True):
        assert_close(a, b, "float64")


@pytest.mark.parametrize("name", ["softmax", "relu"])
@pytest.mark.parametrize("prefilled", [0, 7])
def test_steps_give_what_the_whole_gives(prefilled, name):
    inputs, mask = draw(), draw_mask(T)
    arguments = draw_map(name)
    expected = to_numpy(causal_attention(*inputs, *arguments, key_mask=mask))
    state = initial_state(B, H, size_of(*arguments), DV, "float64")
    if prefilled:
        _, state = prefill(
            state,
            *(x[:, :prefilled] for x in inputs),
            *arguments,
            key_mask=mask[:, :prefilled],
        )
    for t in range(prefilled, T):
        output, state = step(
            state,
            *(x[:, t : t + 1] for x in inputs),
            *arguments,
            key_mask=mask[:, t : t + 1],
        )
        assert_close(to_numpy(output), expected[:, t : t + 1], "float64")


def test_the_state_has_a_fixed_shape_and_is_float32():
    inputs = [ops.cast(x, "bfloat16") for x in draw("float32")]
    arguments = draw_map("softmax", "float32")
    state = initial_state(B, H, M, DV)
    for length in (1, 5, T):
        output, state = prefill(state, *(x[:, :length] for x in inputs), *arguments)
        assert tuple(state.sums.shape) == (B, H, DV + 1, M)
        assert "float32" in str(state.sums.dtype)
        assert "bfloat16" in str(output.dtype)


def test_rows_that_a_mask_hides_keep_their_state():
    inputs, arguments = draw(), draw_map("softmax")
    _, state = prefill(initial_state(B, H, M, DV, "float64"), *inputs, *arguments)
    mask = np.array([[True], [False]])
    _, after = step(state, *(x[:, :1] for x in inputs), *arguments, key_mask=mask)
    before, after = to_numpy(state.sums), to_numpy(after.sums)
    assert np.array_equal(before[1], after[1])
    assert not np.array_equal(before[0], after[0])


def test_a_step_takes_one_position():
    state = initial_state(B, H, M, DV, "float64")
    with pytest.raises(ValueError, match="prefill"):
        step(state, *draw(), *draw_map("softmax"))
    with pytest.raises(ValueError, match="one position"):
        step(empty_state(4), *draw(), *draw_map("softmax"))


def empty_state(window_size):
    return initial_state(B, H, M, DV, "float64", head_dim=D, window_size=window_size)


def stream(cuts, inputs, arguments, window_size, key_mask=None):
    """Attention span by span; spans of one position are steps."""
    state = empty_state(window_size)
    outputs, bounds = [], [0, *cuts, T]
    for start, end in itertools.pairwise(bounds):
        options = {"window_log_weight": LOG_WEIGHT}
        if key_mask is not None:
            options["key_mask"] = key_mask[:, start:end]
        attend = step
        if end - start != 1:
            attend, options = prefill, options | CHUNKS
        spans = [x[:, start:end] for x in inputs]
        output, state = attend(state, *spans, *arguments, **options)
        outputs.append(output)
    return ops.concatenate(outputs, axis=1), state


@pytest.mark.parametrize("key_mask", [None, draw_mask(T)], ids=["all", "masked"])
@pytest.mark.parametrize("cuts", [(5,), (1, 2, 9), tuple(range(1, T))], ids=str)
@pytest.mark.parametrize("window_size", [1, 4])
def test_split_and_resume_with_a_window(window_size, cuts, key_mask):
    inputs, arguments = draw(), draw_map("softmax")
    upstream = np.random.default_rng(1).standard_normal(inputs[2].shape)

    def in_spans(*inputs):
        return stream(cuts, inputs, arguments, window_size, key_mask)[0]

    def whole(*inputs):
        return windowed_attention(
            *inputs,
            *arguments,
            window_size,
            LOG_WEIGHT,
            key_mask,
            causal=True,
            **CHUNKS,
        )

    actual = value_and_gradients(in_spans, inputs, upstream)
    expected = value_and_gradients(whole, inputs, upstream)
    assert_close(actual[0], expected[0], "float64")
    for a, b in zip(actual[1], expected[1], strict=True):
        assert_close(a, b, "float64")


def test_what_is_padded_on_the_left_is_as_if_it_were_not_there():
    inputs, arguments = draw(), draw_map("softmax")
    mask = np.arange(T) >= np.array([[4], [0]])
    padded, state = stream((6, 7), inputs, arguments, 3, mask)
    alone = [x[:, 4:] for x in inputs]
    expected = windowed_attention(
        *alone, *arguments, 3, LOG_WEIGHT, causal=True, **CHUNKS
    )
    assert_close(to_numpy(padded)[0, 4:], to_numpy(expected)[0], "float64")
    assert np.array_equal(to_numpy(state.key)[0, :, -1], inputs[1][0, -1])
