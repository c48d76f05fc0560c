"""A stream through the layer: any cut gives the whole, in constant memory."""

import numpy as np
import pytest
from layer_inputs import (
    DV,
    B,
    D,
    F,
    T,
    attention,
    draw,
    draw_inputs,
    draw_mask,
    numpy,
)
from stream_inputs import built, stream
from tolerances import assert_close

ARGUMENTS = [
    {},
    {"feature_map": "relu", "num_features": None},
    {"feature_map": "sderf"},
    {"use_gate": True, "value_dim": DV, "output_shape": (4, 5)},
    {"num_key_value_heads": 1},
    {"rotary_base": 100, "key_dim": 4},
    {"exact_window": 4},
    {"rotary_base": 100, "key_dim": 4, "exact_window": 3, "num_key_value_heads": 1},
    {"dtype": "float64"},
    {"dropout": 0.5},
]


@pytest.mark.cases(f"{ARGUMENTS[3]}-(5,)", f"{ARGUMENTS[7]}-(1, 2, 9)")
@pytest.mark.parametrize("cuts", [(), (5,), (1, 2, 9), tuple(range(1, T))], ids=str)
@pytest.mark.parametrize("arguments", ARGUMENTS, ids=str)
def test_any_cut_gives_the_whole(arguments, cuts):
    layer = built(**arguments)
    dtype = arguments.get("dtype", "float32")
    x = draw(B, T, F, dtype=dtype)
    whole = numpy(layer(x, x, use_causal_mask=True))
    actual, _ = stream(layer, x, cuts)
    assert_close(actual, whole, dtype)


@pytest.mark.parametrize("arguments", ARGUMENTS[5:8], ids=str)
def test_rows_of_unequal_length_are_padded_on_the_left(arguments):
    layer, lengths = built(**arguments), (T, 4)
    x = draw(B, T, F)
    mask = np.arange(T) >= T - np.array(lengths)[:, None]
    padded, state = stream(layer, x, (6, 7), mask)
    for row, length in enumerate(lengths):
        alone, expected = stream(layer, x[row : row + 1, T - length :], ())
        assert_close(padded[row : row + 1, T - length :], alone)
        sums = numpy(state.attention.sums)[row : row + 1]
        assert_close(sums, numpy(expected.attention.sums))
        assert numpy(state.position)[row] == numpy(expected.position)[0] == length


def test_a_mask_of_another_shape_is_refused():
    layer = built()
    for mask in (np.ones((B, T - 1), bool), np.ones((B, 1, T), bool)):
        with pytest.raises(ValueError, match="`mask` must have the shape"):
            layer.prefill(draw(B, T, F), layer.initial_state(B), mask=mask)
        with pytest.raises(ValueError, match="`key_mask` must have the shape"):
            layer.summarize(draw(B, T, F), key_mask=mask)


def test_a_mask_that_is_added_to_scores_is_refused():
    layer, mask = built(), np.where(draw_mask(T), 0.0, -1e9)
    with pytest.raises(ValueError, match="`mask` must be boolean"):
        layer.prefill(draw(B, T, F), layer.initial_state(B), mask=mask)
    with pytest.raises(ValueError, match="`key_mask` must be boolean"):
        layer.summarize(draw(B, T, F), key_mask=mask)


def test_a_source_is_summed_up():
    layer, mask = attention(num_key_value_heads=1), draw_mask()
    query, value, key = draw_inputs()
    whole = numpy(layer(query, value, key, key_mask=mask))
    state = layer.summarize(value, key, key_mask=mask)
    assert_close(numpy(layer.attend(query, state)), whole)
    assert tuple(state.sums.shape) == (B, 1, D + 1, 19)
    with pytest.raises(ValueError, match="state does not fit"):
        layer.attend(query[:1], state)
    for arguments in ({"rotary_base": 100, "key_dim": 4}, {"exact_window": 3}):
        other = built(**arguments)
        with pytest.raises(ValueError, match="neither positions nor a window"):
            other.summarize(draw(B, T, F))


def test_a_step_is_one_position():
    layer = built()
    with pytest.raises(ValueError, match="one position"):
        layer.step(draw(B, 2, F), layer.initial_state(B))


def test_streams_need_a_built_layer():
    with pytest.raises(ValueError, match="build it"):
        attention().initial_state(B)


def test_the_former_name_of_attend():
    layer, (query, value, _) = attention(), draw_inputs()
    layer(query, value)
    state = layer.summarize(value)
    with pytest.warns(DeprecationWarning, match="now called `FastAttention.attend`"):
        output = layer.read(query, state)
    assert np.array_equal(numpy(output), numpy(layer.attend(query, state)))
