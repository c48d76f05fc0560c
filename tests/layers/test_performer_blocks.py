"""What both blocks have in common: self-attention's arguments, LoRA, int8, policies."""

import keras
import numpy as np
import pytest
from layer_inputs import B, H, S, T, draw, numpy, weights
from tolerances import assert_close, relative_rmse

from keras_performer.layers import PerformerDecoder, PerformerEncoder

F, FS, HIDDEN = 12, 11, 23  # features: H heads of 4; of the source; hidden size
BLOCKS = pytest.mark.parametrize("block_type", [PerformerEncoder, PerformerDecoder])
# Keras says of each layer that cannot be quantized that it cannot.
OF_QUANTIZATION = "ignore:Layer .* does not have a `quantize` method"


def make(block_type, **arguments):
    return block_type(HIDDEN, H, num_features=19, seed=0, name="block", **arguments)


def shapes_of(block_type):
    shapes = [(B, T, F), (B, S, FS)]
    return shapes if block_type is PerformerDecoder else shapes[:1]


def inputs_of(block_type):
    return [draw(*shape, seed=i) for i, shape in enumerate(shapes_of(block_type))]


def model_of(block):
    inputs = [keras.Input((None, shape[2])) for shape in shapes_of(type(block))]
    return keras.Model(inputs, block(*inputs))


def dense_layers(block):
    """Those with a kernel, by path below the block's name."""
    kinds = (keras.layers.Dense, keras.layers.EinsumDense)
    return {
        layer.path.split("block/")[1]: layer
        for layer in block._flatten_layers()
        if isinstance(layer, kinds)
    }


@BLOCKS
def test_arguments_of_self_attention(block_type):
    arguments = {"rotary_base": 100.0, "exact_window": 3, "num_key_value_heads": 1}
    block = make(block_type, **arguments)
    block.build(*shapes_of(block_type))
    layer = block._self_attention_layer
    assert layer.key_dim == F // H == 4
    for name, value in arguments.items():
        assert getattr(layer, name) == value
    if block_type is PerformerDecoder:
        crossed = block._cross_attention_layer
        assert crossed.rotary_base is crossed.exact_window is None
        assert crossed.num_key_value_heads == H


@pytest.mark.slow
@pytest.mark.filterwarnings(OF_QUANTIZATION)
@pytest.mark.parametrize(
    "block_type",
    [pytest.param(PerformerEncoder, marks=pytest.mark.slow), PerformerDecoder],
)
def test_a_quantized_block_is_saved_and_loaded(block_type, tmp_path):
    model, batch = model_of(make(block_type)), inputs_of(block_type)
    exact = numpy(model(batch))
    model.quantize("int8")
    quantized = numpy(model(batch))
    assert 0 < relative_rmse(quantized, exact) < 0.05
    dtypes = {path: w.dtype for path, w in weights(model.get_layer("block")).items()}
    assert list(dtypes.values()).count("int8") == len(
        dense_layers(model.get_layer("block"))
    )
    for name in ("once.keras", "and_again.keras"):
        model.save(tmp_path / name)
        model = keras.saving.load_model(tmp_path / name)
        assert np.array_equal(numpy(model(batch)), quantized)
        loaded = weights(model.get_layer("block"))
        assert {path: w.dtype for path, w in loaded.items()} == dtypes


@pytest.mark.slow
@BLOCKS
def test_lora_is_trained_saved_and_loaded(block_type, tmp_path):
    model, batch = model_of(make(block_type)), inputs_of(block_type)
    before = numpy(model(batch))
    denses = dense_layers(model.get_layer("block"))
    kernels = {path: numpy(dense._kernel) for path, dense in denses.items()}
    for dense in denses.values():
        dense.enable_lora(2)
    model.compile("sgd", "mse", jit_compile=False)
    losses = [model.train_on_batch(batch, 2 * batch[0]) for _ in range(3)]
    assert losses[2] < losses[0]
    after = numpy(model(batch))
    assert not np.allclose(after, before)
    for path, kernel in kernels.items():
        assert np.array_equal(numpy(denses[path]._kernel), kernel)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert_close(numpy(loaded(batch)), after)


@BLOCKS
def test_policies_by_sublayer(block_type):
    int8 = keras.dtype_policies.QuantizedDTypePolicy("int8", "float32")
    policies = keras.dtype_policies.DTypePolicyMap("float32")
    policies["block/self_attention.*/(query|key)"] = int8
    policies["block/feedforward_output_dense"] = "mixed_bfloat16"
    policies["block/feedforward_layer_norm"] = "mixed_bfloat16"
    block = make(block_type, dtype=policies)
    config = None
    for _ in range(2):
        block = block if config is None else block_type.from_config(config)
        block.build(*shapes_of(block_type))
        denses = dense_layers(block)
        quantized = {p for p, dense in denses.items() if dense._kernel.dtype == "int8"}
        assert {path.split("/")[-1] for path in quantized} == {"query", "key"}
        assert {path[:14] for path in quantized} == {"self_attention"}
        assert denses["feedforward_output_dense"].compute_dtype == "bfloat16"
        assert block._feedforward_layer_norm.compute_dtype == "bfloat16"
        assert denses["feedforward_intermediate_dense"].compute_dtype == "float32"
        assert block.compute_dtype == "float32"
        assert np.all(np.isfinite(numpy(block(*inputs_of(block_type)))))
        config = block.get_config()
