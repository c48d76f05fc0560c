"""`StreamState`: of constant size, in float32, kept in a file, refused by others."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from layer_inputs import B, F, T, attention, draw, numpy
from stream_inputs import built, stream

import keras_performer


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_states_are_in_float32(policy):
    layer = built(dtype=policy, exact_window=3)
    output, state = layer.prefill(draw(B, T, F), layer.initial_state(B))
    for part in state.attention:
        assert keras.backend.standardize_dtype(part.dtype) == "float32"
    assert keras.backend.standardize_dtype(output.dtype) == policy.split("_")[1]


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


@pytest.mark.slow
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
