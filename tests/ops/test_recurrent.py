"""The recurrent form: any cut of a sequence gives what the whole gives."""

import keras
import numpy as np
import pytest
from attention_inputs import DV, B, H, M, T, draw, draw_map, draw_mask, split_trainable
from gradients import to_numpy, value_and_gradients
from keras import ops
from tolerances import assert_close

from keras_performer.ops import AttentionState, initial_state, prefill, step
from keras_performer.ops.causal import causal_attention

CHUNKS = {"chunk_size": 2, "outer_chunk_size": 4}
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
    for start, end in zip(bounds, bounds[1:], strict=False):
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


def test_the_state_has_a_fixed_shape_and_is_wide():
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


@pytest.mark.parametrize(
    "shape", [(B + 1, H, M, DV + 1), (B, H, M + 1, DV + 1), (B, H, M, DV), (B, H, M)]
)
def test_a_state_of_another_shape_is_refused(shape):
    inputs, arguments = draw(), draw_map("softmax")
    fitting, wrong = (ops.zeros(x, dtype="float64") for x in ((B, H, DV + 1, M), shape))
    for state in (AttentionState(wrong, fitting), AttentionState(fitting, wrong)):
        with pytest.raises(ValueError, match="state does not fit"):
            prefill(state, *inputs, *arguments)
        with pytest.raises(ValueError, match="state does not fit"):
            step(state, *(x[:, :1] for x in inputs), *arguments)


def test_a_step_takes_one_position():
    state = initial_state(B, H, M, DV, "float64")
    with pytest.raises(ValueError, match="prefill"):
        step(state, *draw(), *draw_map("softmax"))


@pytest.mark.parametrize(
    ("sizes", "dtype", "message"),
    [
        ((0, M, DV), "float32", "num_heads"),
        ((H, 0, DV), "float32", "num_features"),
        ((H, M, -1), "float32", "value_dim"),
        ((H, M, DV), "bfloat16", "float32"),
    ],
)
def test_what_no_state_can_be_is_named(sizes, dtype, message):
    with pytest.raises(ValueError, match=message):
        initial_state(B, *sizes, dtype)


def test_a_long_stream_does_not_drift():
    """Each term is a hundred-thousandth of the sums, and would lose its digits."""
    feature_map, parameters = draw_map("softmax", "float32")
    inputs = [x[:, :1] for x in draw("float32")]
    state = initial_state(B, H, M, DV)
    once = step(state, *inputs, feature_map, parameters)[1]
    state = once._replace(sums=once.sums * 100_000, compensation=once.compensation)
    for _ in range(100):
        _, state = step(state, *inputs, feature_map, parameters)
    expected = to_numpy(once.sums).astype("float64") * 100_100
    actual = to_numpy(state.sums).astype("float64") - to_numpy(state.compensation)
    assert np.max(np.abs(actual / expected - 1)) < np.finfo("float32").eps
