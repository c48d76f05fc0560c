"""A stream with a window: any cut gives the whole, in constant memory."""

import numpy as np
import pytest
from attention_inputs import DV, B, D, H, M, T, draw, draw_map, draw_mask
from gradients import to_numpy, value_and_gradients
from keras import ops
from tolerances import assert_close

from keras_performer.ops import initial_state, prefill, step
from keras_performer.ops.windowed import windowed_causal_attention

CHUNKS = {"chunk_size": 2, "outer_chunk_size": 4}
LOG_WEIGHT = np.array([0.5, -1.0, 2.0])


def empty_state(window_size):
    return initial_state(B, H, M, DV, "float64", head_dim=D, window_size=window_size)


def stream(cuts, inputs, arguments, window_size, key_mask=None):
    """Attention span by span; spans of one position are steps."""
    state = empty_state(window_size)
    outputs, bounds = [], [0, *cuts, T]
    for start, end in zip(bounds, bounds[1:], strict=False):
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
def test_split_and_resume_with_gradients(window_size, cuts, key_mask):
    inputs, arguments = draw(), draw_map("softmax")
    upstream = np.random.default_rng(1).standard_normal(inputs[2].shape)

    def in_spans(*inputs):
        return stream(cuts, inputs, arguments, window_size, key_mask)[0]

    def whole(*inputs):
        return windowed_causal_attention(
            *inputs, *arguments, window_size, LOG_WEIGHT, key_mask, **CHUNKS
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
    expected = windowed_causal_attention(*alone, *arguments, 3, LOG_WEIGHT, **CHUNKS)
    assert_close(to_numpy(padded)[0, 4:], to_numpy(expected)[0], "float64")
    assert np.array_equal(to_numpy(state.key)[0, :, -1], inputs[1][0, -1])


def test_a_state_of_another_size_is_refused():
    inputs, arguments = draw(), draw_map("softmax")
    state = empty_state(4)
    one = [x[:, :1] for x in inputs]
    for part in state._fields:
        wrong = getattr(state, part)[1:]
        for attend in (step, prefill):
            with pytest.raises(ValueError, match=f"`{part}`"):
                attend(state._replace(**{part: wrong}), *one, *arguments)
    with pytest.raises(ValueError, match="one position"):
        step(state, *inputs, *arguments)
    with pytest.raises(ValueError, match="`window_size`"):
        empty_state(0)
