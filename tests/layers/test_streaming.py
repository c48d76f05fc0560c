"""A stream through the layer: any cut gives the whole, in constant memory."""

import os
import subprocess
import sys
from pathlib import Path

import keras
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
from tolerances import assert_close

import keras_performer

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
    layer = built(dtype=policy, exact_window=3)
    output, state = layer.prefill(draw(B, T, F), layer.initial_state(B))
    for part in state.attention:
        assert keras.backend.standardize_dtype(part.dtype) == "float32"
    assert keras.backend.standardize_dtype(output.dtype) == policy.split("_")[1]


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


@pytest.mark.parametrize("exact_window", [None, 5])
def test_the_state_does_not_grow(exact_window):
    layer = built(exact_window=exact_window)
    states = [layer.initial_state(B)]
    states += [stream(layer, draw(B, length, F), ())[1] for length in (3, 3000)]
    shapes = [[tuple(x.shape) for x in keras.tree.flatten(state)] for state in states]
    assert shapes[0] == shapes[1] == shapes[2]
    assert {shape[0] for shape in shapes[0]} == {B}


def test_a_state_may_be_stored(tmp_path):
    layer, x = built(), draw(B, T, F)
    whole, _ = stream(layer, x, (6,))
    _, state = stream(layer, x[:, :6], ())
    np.savez(tmp_path / "state.npz", *map(numpy, keras.tree.flatten(state)))
    with np.load(tmp_path / "state.npz") as stored:
        parts = [keras.ops.convert_to_tensor(x) for x in stored.values()]
    restored = keras.tree.pack_sequence_as(state, parts)
    other = attention()
    other.build((None, None, F), (None, None, F))
    for source, target in zip(layer.weights, other.weights, strict=True):
        target.assign(source)
    rest, _ = stream(other, x[:, 6:], (), state=restored)
    assert np.array_equal(rest, whole[:, 6:])


RESUME = """
import keras_performer
import keras
import numpy as np

layer = keras.saving.load_model("model.keras").layers[-1]
with np.load("state.npz") as stored:
    parts = [keras.ops.convert_to_tensor(x) for x in stored.values()]
x = np.load("rest.npy")
state = keras.tree.pack_sequence_as(layer.initial_state(len(x)), parts)
output, _ = layer.prefill(x, state)
np.save("outputs.npy", keras.ops.convert_to_numpy(output))
"""


def test_another_process_resumes_a_stream(tmp_path):
    inputs = keras.Input((None, F))
    layer = attention(rotary_base=100, key_dim=4, exact_window=3)
    model = keras.Model(inputs, layer(inputs, inputs, use_causal_mask=True))
    x = draw(B, T, F)
    whole, _ = stream(layer, x, (6,))
    _, state = stream(layer, x[:, :6], ())
    model.save(tmp_path / "model.keras")
    np.savez(tmp_path / "state.npz", *map(numpy, keras.tree.flatten(state)))
    np.save(tmp_path / "rest.npy", x[:, 6:])
    package = str(Path(keras_performer.__file__).parents[1])
    subprocess.run(
        [sys.executable, "-c", RESUME],
        check=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": package},
    )
    assert np.array_equal(np.load(tmp_path / "outputs.npy"), whole[:, 6:])


def test_a_state_of_another_layer_is_refused():
    layer = built()
    for state in (built(num_features=8).initial_state(B), layer.initial_state(B + 1)):
        for attend in (layer.step, layer.prefill):
            with pytest.raises(ValueError, match="state does not fit"):
                attend(draw(B, 1, F), state)


def test_a_state_of_another_kind_is_refused():
    layer = built()
    with pytest.raises(ValueError, match="`state` must be what `initial_state`"):
        layer.step(draw(B, 1, F), layer.initial_state(B).attention)
    windowed = built(exact_window=3)
    for first, other in ((layer, windowed), (windowed, layer)):
        with pytest.raises(ValueError, match="state"):
            first.step(draw(B, 1, F), other.initial_state(B))


def test_a_mask_of_another_shape_is_refused():
    layer = built()
    for mask in (np.ones((B, T - 1), bool), np.ones((B, 1, T), bool)):
        with pytest.raises(ValueError, match="`mask` must have the shape"):
            layer.prefill(draw(B, T, F), layer.initial_state(B), mask=mask)


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
