"""`FastAttention` in training: dropout, dtype policies, compilation."""

import keras
import numpy as np
import pytest
from layer_inputs import B, F, T, attention, draw, numpy, weights
from tolerances import assert_close, assert_mean

# `torch.compile` warns of what it does itself.
OF_THE_COMPILER = ["ignore"] if keras.backend.backend() == "torch" else []
POLICIES = ["float32", "mixed_bfloat16", "mixed_float16", "float64"]


def model_of(layer, **call_arguments):
    inputs = keras.Input((None, F))
    return keras.Model(inputs, layer(inputs, inputs, **call_arguments))


def test_dropout_acts_in_training_only():
    layer = attention(dropout=0.5)
    x = draw(B, T, F)
    plain = numpy(layer(x, x))
    assert np.array_equal(plain, numpy(layer(x, x, training=False)))
    dropped = [numpy(layer(x, x, training=True)) for _ in range(2)]
    assert not np.any(dropped[0] == plain)
    assert not np.array_equal(*dropped)


def test_dropout_keeps_the_mean():
    layer = attention(dropout=0.3)
    x = np.repeat(draw(1, 3, F), 4000, axis=0)
    plain = numpy(layer(x[:1], x[:1]))[0]
    assert_mean(numpy(layer(x, x, training=True)), plain)


def test_dropout_is_reproducible_from_the_seed():
    x = draw(B, T, F)
    outputs = []
    for seed in (3, 3, 4):
        layer = attention(dropout=0.5, seed=3, kernel_initializer="ones")
        layer.seed = seed
        layer.build(x.shape, x.shape)
        layer.redraw_projection(0)
        outputs.append(numpy(layer(x, x, training=True)))
    assert np.array_equal(*outputs[:2])
    assert not np.array_equal(*outputs[1:])


@pytest.mark.parametrize("use_causal_mask", [False, True])
@pytest.mark.parametrize("policy", POLICIES)
def test_dtype_policies(policy, use_causal_mask):
    layer = attention(dtype=policy, use_gate=True, dropout=0.1)
    model = model_of(layer, use_causal_mask=use_causal_mask)
    x = draw(B, T, F)
    output = model(x)
    dtype = keras.backend.standardize_dtype(output.dtype)
    assert dtype == keras.DTypePolicy(policy).compute_dtype
    for path, weight in weights(layer).items():
        expected = "float64" if policy == "float64" else "float32"
        assert weight.dtype == ("float32" if path == "projection" else expected)
    before = {path: numpy(w) for path, w in weights(layer).items()}
    model.compile("sgd", "mse", jit_compile=False)
    assert np.isfinite(model.train_on_batch(x, x))
    for path, weight in weights(layer).items():
        assert np.all(np.isfinite(numpy(weight))), path
        changed = not np.array_equal(before[path], numpy(weight))
        assert changed == (path != "projection"), path


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_is_near_float32(policy):
    x = draw(B, T, F)
    layers = [attention(dtype=dtype) for dtype in ("float32", policy)]
    for layer in layers:
        layer.build(x.shape, x.shape)
    for path, weight in weights(layers[0]).items():
        weights(layers[1])[path].assign(weight)
    exact, half = (numpy(layer(x, x)) for layer in layers)
    # The dense layers before and after round to half precision as well.
    assert np.sqrt(np.mean((half - exact) ** 2) / np.mean(exact**2)) < 0.02


def test_a_long_document_in_float16_stays_finite():
    layer = attention(dtype="mixed_float16")
    x = 30 * draw(1, 16_384, F)
    assert np.all(np.isfinite(numpy(layer(x, x))))
    assert np.all(np.isfinite(numpy(layer(x, x, use_causal_mask=True))))


@pytest.mark.filterwarnings(*OF_THE_COMPILER)
@pytest.mark.cases("True")
@pytest.mark.parametrize("use_causal_mask", [False, True])
def test_a_training_step_is_the_same_compiled_and_not(use_causal_mask):
    x = draw(B, T, F)
    results = []
    for jit_compile in (False, True, "auto"):
        keras.utils.set_random_seed(0)
        model = model_of(attention(), use_causal_mask=use_causal_mask)
        model.compile("sgd", "mse", jit_compile=jit_compile)
        losses = [model.train_on_batch(x, 2 * x) for _ in range(2)]
        assert losses[1] < losses[0]
        results.append([np.array(losses), *map(numpy, model.weights)])
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            assert_close(a, b)


class Rematerialized(keras.layers.Layer):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def call(self, x):
        return keras.remat(lambda x: self.layer(x, x))(x)


def test_rematerialization():
    x = draw(B, T, F).astype("float64")
    results = []
    for rematerialize in (False, True):
        keras.utils.set_random_seed(0)
        layer = attention(dtype="float64")
        layer.build(x.shape, x.shape)
        inputs = keras.Input((T, F), dtype="float64")
        outputs = (
            Rematerialized(layer)(inputs) if rematerialize else layer(inputs, inputs)
        )
        model = keras.Model(inputs, outputs)
        # In a graph, what TensorFlow computes again may see weights that are already
        # updated, with Keras's own layer as well: one loss in twenty was another.
        eagerly = keras.backend.backend() == "tensorflow"
        model.compile("sgd", "mse", jit_compile=False, run_eagerly=eagerly)
        losses = [model.train_on_batch(x, x) for _ in range(2)]
        results.append([np.array(losses), *map(numpy, layer.weights)])
    for a, b in zip(*results, strict=True):
        assert_close(a, b, "float64")
