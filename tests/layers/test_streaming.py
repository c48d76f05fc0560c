"""A stream through the layer: any cut gives the whole, in constant memory."""

import keras
import numpy as np
import pytest
from layer_inputs import DV, B, F, H, T, attention, draw, numpy
from tolerances import assert_close

ARGUMENTS = [
    {},
    {"feature_map": "relu", "num_features": None},
    {"feature_map": "sderf"},
    {"use_gate": True, "value_dim": DV, "output_shape": (4, 5)},
    {"num_key_value_heads": 1},
    {"dtype": "float64"},
    {"dropout": 0.5},
]


def built(**arguments):
    layer = attention(**arguments)
    layer.build((None, None, F), (None, None, F))
    return layer


def stream(layer, x, cuts, mask=None, state=None):
    """Outputs span by span, and the last state; spans of one position are steps."""
    state = layer.initial_state(len(x)) if state is None else state
    outputs, bounds = [], [0, *cuts, x.shape[1]]
    for start, end in zip(bounds, bounds[1:], strict=False):
        attend = layer.step if end - start == 1 else layer.prefill
        part = None if mask is None else mask[:, start:end]
        output, state = attend(x[:, start:end], state, mask=part)
        outputs.append(numpy(output))
    return np.concatenate(outputs, axis=1), state


@pytest.mark.parametrize("cuts", [(), (5,), (1, 2, 9), tuple(range(1, T))], ids=str)
@pytest.mark.parametrize("arguments", ARGUMENTS, ids=str)
def test_any_cut_gives_the_whole(arguments, cuts):
    layer = built(**arguments)
    dtype = arguments.get("dtype", "float32")
    x = draw(B, T, F, dtype=dtype)
    whole = numpy(layer(x, x, use_causal_mask=True))
    actual, _ = stream(layer, x, cuts)
    assert_close(actual, whole, dtype)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_states_are_wide(policy):
    layer = built(dtype=policy)
    output, state = layer.prefill(draw(B, T, F), layer.initial_state(B))
    assert keras.backend.standardize_dtype(state.sums.dtype) == "float32"
    assert keras.backend.standardize_dtype(output.dtype) == policy.split("_")[1]


def test_rows_of_unequal_length_are_padded_on_the_left():
    layer, lengths = built(), (T, 4)
    x = draw(B, T, F)
    mask = np.arange(T) >= T - np.array(lengths)[:, None]
    padded, state = stream(layer, x, (6, 7), mask)
    for row, length in enumerate(lengths):
        alone, expected = stream(layer, x[row : row + 1, T - length :], ())
        assert_close(padded[row : row + 1, T - length :], alone)
        assert_close(numpy(state.sums)[row : row + 1], numpy(expected.sums))


def test_the_state_does_not_grow():
    layer = built()
    _, short = stream(layer, draw(B, 3, F), ())
    _, long = stream(layer, draw(B, 3000, F), ())
    assert short.sums.shape == long.sums.shape
    assert tuple(short.sums.shape[:2]) == (B, H)


def test_a_state_may_be_stored(tmp_path):
    layer, x = built(), draw(B, T, F)
    whole, _ = stream(layer, x, (6,))
    _, state = stream(layer, x[:, :6], ())
    np.savez(tmp_path / "state.npz", *(numpy(part) for part in state))
    with np.load(tmp_path / "state.npz") as stored:
        restored = type(state)(
            *(keras.ops.convert_to_tensor(x) for x in stored.values())
        )
    other = attention()
    other.build((None, None, F), (None, None, F))
    for source, target in zip(layer.weights, other.weights, strict=True):
        target.assign(source)
    rest, _ = stream(other, x[:, 6:], (), state=restored)
    assert np.array_equal(rest, whole[:, 6:])


def test_a_state_of_another_layer_is_refused():
    layer = built()
    for state in (built(num_features=8).initial_state(B), layer.initial_state(B + 1)):
        for attend in (layer.step, layer.prefill):
            with pytest.raises(ValueError, match="state does not fit"):
                attend(draw(B, 1, F), state)


def test_a_step_is_one_position():
    layer = built()
    with pytest.raises(ValueError, match="one position"):
        layer.step(draw(B, 2, F), layer.initial_state(B))


def test_streams_need_a_built_layer():
    with pytest.raises(ValueError, match="build it"):
        attention().initial_state(B)
