"""States: their sizes, and what does not fit them."""

import numpy as np
import pytest
from attention_inputs import DV, B, D, H, M, draw, draw_map
from gradients import to_numpy
from keras import ops

from keras_performer.ops import (
    AttentionState,
    WindowedState,
    attend,
    initial_state,
    prefill,
    step,
    summarize,
)


def test_the_window_says_which_state_there_is():
    alone = initial_state(B, H, M, DV)
    windowed = initial_state(B, H, M, DV, head_dim=D, window_size=4)
    assert isinstance(alone, AttentionState) and alone.window_size is None
    assert isinstance(windowed, WindowedState) and windowed.window_size == 4
    assert tuple(alone.sums.shape) == tuple(windowed.sums.shape) == (B, H, DV + 1, M)
    assert tuple(windowed.key.shape) == (B, H, 3, D)
    assert tuple(windowed.value.shape) == (B, H, 3, DV)
    assert tuple(windowed.mask.shape) == (B, 3)
    assert all(np.all(to_numpy(part) == 0) for part in (*alone, *windowed))


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


def test_a_state_of_another_size_is_refused():
    inputs, arguments = draw(), draw_map("softmax")
    state = initial_state(B, H, M, DV, "float64", head_dim=D, window_size=4)
    one = [x[:, :1] for x in inputs]
    for part in state._fields:
        wrong = getattr(state, part)[1:]
        for advance in (step, prefill):
            with pytest.raises(ValueError, match=f"`{part}`"):
                advance(state._replace(**{part: wrong}), *one, *arguments)
    with pytest.raises(ValueError, match="`window_size`"):
        initial_state(B, H, M, DV, head_dim=D, window_size=0)


def test_queries_of_other_heads_or_features_are_refused():
    (query, key, value), arguments = draw(), draw_map("softmax")
    state = summarize(key, value, *arguments)
    with pytest.raises(ValueError, match="multiple of those of the state"):
        attend(state, query[:, :, :2], *arguments)
    with pytest.raises(ValueError, match="state does not fit"):
        attend(state._replace(sums=state.sums[..., 1:]), query, *arguments)
    with pytest.raises(ValueError, match="`query` must have rank 4"):
        attend(state, query[0], *arguments)
