"""What Keras does to the sublayers of `FastAttention`: LoRA, int8, policies, remat."""

import keras
import numpy as np
import pytest
from layer_inputs import B, D, F, H, T, attention, draw, numpy, weights
from tolerances import assert_close

from keras_performer.layers import FastAttention

DENSE = ("query", "key", "value", "gate", "attention_output")
# Keras says of each layer that cannot be quantized that it cannot.
OF_QUANTIZATION = "ignore:Layer .* does not have a `quantize` method"


def model_of(layer, rank=3):
    inputs = keras.Input((None,) * (rank - 2) + (F,))
    return keras.Model(inputs, keras.layers.Dense(4)(layer(inputs, inputs)))


def sublayer(layer, name):
    return next(x for x in layer._flatten_layers() if x.name == name)


def test_lora(tmp_path):
    """It trains and saves, and its weights fit a layer without it, and back."""
    x = draw(B, T, F)
    model = model_of(attention(use_gate=True, use_bias=False, name="mha"))
    layer = model.get_layer("mha")
    for name in DENSE:
        sublayer(layer, name).enable_lora(2)
    assert len(layer.trainable_weights) == 2 * len(DENSE)
    kernels = [numpy(sublayer(layer, name)._kernel) for name in DENSE]
    before = numpy(model(x))
    model.compile("sgd", "mse", jit_compile=False)
    losses = [model.train_on_batch(x, np.ones((B, T, 4))) for _ in range(3)]
    assert losses[2] < losses[0]
    after = numpy(model(x))
    assert not np.allclose(after, before)
    for name, kernel in zip(DENSE, kernels, strict=True):
        assert np.array_equal(numpy(sublayer(layer, name)._kernel), kernel)

    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert_close(numpy(loaded(x)), after)
    model.save_weights(tmp_path / "lora.weights.h5")
    plain = model_of(attention(use_gate=True, use_bias=False, name="mha"))
    plain.load_weights(tmp_path / "lora.weights.h5")
    assert_close(numpy(plain(x)), after)
    plain.save_weights(tmp_path / "plain.weights.h5")
    adapted = model_of(attention(use_gate=True, use_bias=False, name="mha"))
    for name in DENSE:
        sublayer(adapted.get_layer("mha"), name).enable_lora(2)
    adapted.load_weights(tmp_path / "plain.weights.h5")
    assert_close(numpy(adapted(x)), after)


@pytest.mark.slow
def test_int8_of_the_sublayers():
    layer = attention(use_gate=True)
    x = draw(B, T, F)
    exact = numpy(layer(x, x))
    for name in DENSE:
        sublayer(layer, name).quantize("int8")
        assert sublayer(layer, name)._kernel.dtype == "int8"
    quantized = numpy(layer(x, x))
    assert not np.array_equal(quantized, exact)
    assert np.mean((quantized - exact) ** 2) < 1e-2


@pytest.mark.filterwarnings(OF_QUANTIZATION)
@pytest.mark.parametrize(
    ("dtype", "rank"),
    [("float32", 4), pytest.param("mixed_bfloat16", 3, marks=pytest.mark.slow)],
)
def test_a_quantized_model_is_saved_and_loaded(tmp_path, dtype, rank):
    """Keras's own layer does not load: its config leaves out what is quantized."""
    model = model_of(attention(use_gate=True, dtype=dtype, name="mha"), rank)
    x = draw(B, *(3,) * (rank - 3), T, F)
    exact = numpy(model(x))
    model.quantize("int8")
    quantized = numpy(model(x))
    assert 0 < np.sqrt(np.mean((quantized - exact) ** 2) / np.mean(exact**2)) < 0.03
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert np.array_equal(numpy(loaded(x)), quantized)
    layer = loaded.get_layer("mha")
    for name in DENSE:
        assert sublayer(layer, name)._kernel.dtype == "int8"
    assert layer.compute_dtype == model.get_layer("mha").compute_dtype
    # And once more, from what was loaded.
    loaded.save(tmp_path / "again.keras")
    again = keras.models.load_model(tmp_path / "again.keras")
    assert np.array_equal(numpy(again(x)), quantized)


def test_one_quantized_sublayer_is_kept_as_one():
    layer = attention(name="mha")
    layer.build((B, T, F), (B, T, F))
    assert layer.get_config()["dtype"]["config"] == {"name": "float32"}
    layer.key_dense.quantize("int8")
    restored = FastAttention.from_config(layer.get_config())
    restored.build((B, T, F), (B, T, F))
    kernels = [sublayer(restored, name)._kernel for name in ("query", "key", "value")]
    assert [kernel.dtype for kernel in kernels] == ["float32", "int8", "float32"]


def test_policies_by_sublayer():
    int8 = keras.dtype_policies.QuantizedDTypePolicy("int8", "float32")
    policies = keras.dtype_policies.DTypePolicyMap("float32")
    for name in ("query", "key", "value"):
        policies[f"mha/{name}"] = int8
    policies["mha/attention_output"] = "mixed_bfloat16"
    layer = attention(dtype=policies, name="mha")
    x = draw(B, T, F)
    output = layer(x, x)
    assert {sublayer(layer, n)._kernel.dtype for n in DENSE[:3]} == {"int8"}
    assert layer.output_dense.compute_dtype == "bfloat16"
    assert layer.compute_dtype == "float32"
    assert np.all(np.isfinite(numpy(output)))
    plain = attention(name="mha")
    plain.build(x.shape, x.shape)
    paths = [w.path for w in plain.weights]
    assert set(paths) <= {w.path for w in layer.weights}
    restored = FastAttention.from_config(layer.get_config())
    restored.build(x.shape, x.shape)
    assert restored.key_dense._kernel.dtype == "int8"
    assert restored.output_dense.compute_dtype == "bfloat16"
    assert restored.compute_dtype == "float32"


@pytest.mark.parametrize(
    "arguments", [{}, {"use_gate": True, "attention_axes": -2}], ids=str
)
def test_remat_scopes(arguments):
    """Losses and all weights after two steps are those of a layer outside the scope.

    TensorFlow's recomputation takes keyword arguments in eager execution alone.
    """
    eager = {"run_eagerly": True} if keras.backend.backend() == "tensorflow" else {}
    x = draw(B, T, F, dtype="float64")
    start = attention(dtype="float64", **arguments)
    start.build(x.shape, x.shape)
    results = []
    for mode in (None, "full"):
        with keras.RematScope(mode=mode):
            layer = attention(dtype="float64", **arguments)
        layer.build(x.shape, x.shape)
        layer.set_weights(start.get_weights())
        inputs = keras.Input((T, F), dtype="float64")
        model = keras.Model(inputs, layer(inputs, inputs))
        model.compile("sgd", "mse", **eager)
        losses = [model.train_on_batch(x, 2 * x) for _ in range(2)]
        assert losses[1] < losses[0]
        results.append([np.array(losses), *map(numpy, weights(layer).values())])
    for one, other in zip(*results, strict=True):
        assert_close(one, other, "float64")


def test_constraints_of_every_sublayer():
    for kind in ("kernel", "bias"):
        layer = FastAttention(H, D, use_gate=True, **{f"{kind}_constraint": "non_neg"})
        layer.build((B, T, F), (B, T, F))
        for name in DENSE:
            weight = getattr(sublayer(layer, name), kind)
            assert isinstance(weight.constraint, keras.constraints.NonNeg)


def test_kernels_start_different_from_one_initializer():
    initializer = keras.initializers.TruncatedNormal(stddev=0.02)
    layer = FastAttention(12, 64, use_gate=True, kernel_initializer=initializer)
    layer.build((2, 4, 8), (2, 4, 8))
    kernels = [numpy(sublayer(layer, name).kernel).ravel()[:50] for name in DENSE]
    for index, kernel in enumerate(kernels):
        assert 0.01 < np.std(kernel) < 0.03
        for other in kernels[:index]:
            assert not np.any(kernel == other)
