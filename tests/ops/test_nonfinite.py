"""What is not finite stays in its own row and, causally, in its own future."""

import itertools

import numpy as np
import pytest
from attention_inputs import DV, B, D, H, M, T, draw, draw_map
from gradients import on_arrays, to_numpy
from keras import ops as keras_ops

from keras_performer import ops
from keras_performer.ops.bidirectional import bidirectional_attention
from keras_performer.ops.causal import causal_attention
from keras_performer.ops.packed import packed_attention
from keras_performer.ops.windowed import windowed_attention

CHUNKS = {"chunk_size": 2, "outer_chunk_size": 8}
IDS = np.zeros((B, T), "int32")
POSITION = 6  # in the middle of an inner chunk's outer chunk
HEAD = 1


def packed(*arguments, **options):
    return packed_attention(*arguments, IDS, causal=True, **options)


def windowed(*arguments, **options):
    return windowed_attention(*arguments, 3, causal=True, **options)


def streamed(*arguments, **options):
    state = ops.initial_state(B, H, M, DV)
    return in_spans(state, *arguments, **options)


def streamed_with_window(*arguments, **options):
    state = ops.initial_state(B, H, M, DV, head_dim=D, window_size=3)
    return in_spans(state, *arguments, **options)


def in_spans(state, *arguments, key_mask=None, **options):
    """A span, two steps, of which the second is at `POSITION`, and a span."""
    *inputs, feature_map, parameters = arguments
    outputs, bounds = [], [0, POSITION - 1, POSITION, POSITION + 1, T]
    for start, end in itertools.pairwise(bounds):
        attend, sizes = (ops.step, {}) if end - start == 1 else (ops.prefill, options)
        output, state = attend(
            state,
            *(x[:, start:end] for x in inputs),
            feature_map,
            parameters,
            key_mask=None if key_mask is None else key_mask[:, start:end],
            **sizes,
        )
        outputs.append(output)
    return keras_ops.concatenate(outputs, axis=1)


CAUSAL = {
    "causal": causal_attention,
    "packed": packed,
    "windowed": windowed,
    "streamed": streamed,
    "streamed_with_window": streamed_with_window,
}
BIDIRECTIONAL = {
    "whole": bidirectional_attention,
    "windowed": lambda *x: windowed_attention(*x, 3, causal=False),
    "packed": lambda *x: packed_attention(*x, IDS, causal=False),
}


def with_nonfinite(inputs, which, value):
    inputs = [x.copy() for x in inputs]
    inputs[which][0, POSITION, HEAD, 2] = value
    return inputs


@pytest.mark.cases("causal-key-nan", "windowed-value-nan")
@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("which", [1, 2], ids=["key", "value"])
@pytest.mark.parametrize("name", CAUSAL)
def test_a_nonfinite_key_reaches_its_future_alone(name, which, value):
    attend = on_arrays(CAUSAL[name])
    inputs, arguments = draw("float32"), draw_map("softmax", "float32")
    sound = to_numpy(attend(*inputs, *arguments, **CHUNKS))
    output = to_numpy(
        attend(*with_nonfinite(inputs, which, value), *arguments, **CHUNKS)
    )
    assert np.array_equal(output[0, :POSITION], sound[0, :POSITION])
    assert np.array_equal(output[1], sound[1])
    assert not np.any(np.isfinite(output[0, POSITION:, HEAD, 2]))
    others = [head for head in range(H) if head != HEAD]
    assert np.array_equal(output[0][:, others], sound[0][:, others])


@pytest.mark.parametrize("name", CAUSAL)
def test_a_nonfinite_query_reaches_its_own_position_alone(name):
    attend = on_arrays(CAUSAL[name])
    inputs, arguments = draw("float32"), draw_map("softmax", "float32")
    sound = to_numpy(attend(*inputs, *arguments, **CHUNKS))
    output = to_numpy(attend(*with_nonfinite(inputs, 0, np.nan), *arguments, **CHUNKS))
    assert np.all(np.isnan(output[0, POSITION, HEAD]))
    output[0, POSITION, HEAD] = sound[0, POSITION, HEAD]
    assert np.array_equal(output, sound)


@pytest.mark.parametrize("which", [1, 2], ids=["key", "value"])
@pytest.mark.parametrize("name", CAUSAL)
def test_what_is_hidden_may_be_nonfinite(name, which):
    attend = on_arrays(CAUSAL[name])
    inputs, arguments = draw("float32"), draw_map("softmax", "float32")
    mask = np.ones((B, T), dtype="bool")
    mask[0, POSITION] = False
    sound = to_numpy(attend(*inputs, *arguments, key_mask=mask, **CHUNKS))
    inputs = with_nonfinite(inputs, which, np.nan)
    output = to_numpy(attend(*inputs, *arguments, key_mask=mask, **CHUNKS))
    assert np.array_equal(output, sound)


@pytest.mark.parametrize("which", [0, 1, 2], ids=["query", "key", "value"])
@pytest.mark.parametrize("name", BIDIRECTIONAL)
def test_a_row_of_the_batch_keeps_what_is_nonfinite(name, which):
    attend = on_arrays(BIDIRECTIONAL[name])
    inputs, arguments = draw("float32"), draw_map("softmax", "float32")
    sound = to_numpy(attend(*inputs, *arguments))
    output = to_numpy(attend(*with_nonfinite(inputs, which, np.nan), *arguments))
    assert np.array_equal(output[1], sound[1])
    assert np.any(np.isnan(output[0]))
    if which:
        assert np.all(np.isnan(output[0, :, HEAD]).any(axis=-1))
