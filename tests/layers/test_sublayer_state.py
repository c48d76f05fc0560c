"""`sublayer_state`: a block's config says what was done to its sublayers."""

import json

import keras
import numpy as np
import pytest
from layer_inputs import F, T, attention, draw, numpy

from keras_performer.layers import PerformerEncoder
from keras_performer.layers.sublayer_state import remember_sublayers, sublayer_changes


def block(**arguments):
    layer = PerformerEncoder(23, 2, seed=0, name="block", **arguments)
    layer.build((None, T, F))
    return layer


def restored(layer):
    config = json.loads(json.dumps(layer.get_config()))
    new = type(layer).from_config(config)
    new.build((None, T, F))
    return new


def trained(layer):
    return [weight.path for weight in layer.trainable_weights]


def test_what_is_as_it_was_made_is_not_in_the_config():
    assert "sublayers" not in block().get_config()
    assert "sublayers" not in PerformerEncoder(23, 2).get_config()
    layer = block()
    layer._feedforward_output_dense.trainable = False
    assert list(sublayer_changes(layer)["sublayers"]) == ["feedforward_output_dense"]
    remember_sublayers(layer)
    assert sublayer_changes(layer) == {}


def test_frozen_sublayers_and_lora_of_a_block():
    layer = block()
    layer._self_attention_layer.trainable = False
    layer._feedforward_intermediate_dense.enable_lora(3, lora_alpha=5)
    new = restored(layer)
    assert trained(new) == trained(layer)
    assert new._feedforward_intermediate_dense.lora_alpha == 5
    # What was frozen after LoRA was added, and one part again set free.
    layer.trainable = False
    layer._feedforward_output_dense.trainable = True
    assert trained(restored(layer)) == trained(layer)


def test_a_frozen_block_of_a_model_stays_frozen(tmp_path):
    layer, inputs = block(), keras.Input((T, F))
    model = keras.Model(inputs, keras.layers.Dense(4)(layer(inputs)))
    layer.trainable = False
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert trained(loaded) == trained(model)
    assert len(trained(loaded)) == 2


@pytest.mark.slow
def test_int8_with_lora_is_bit_equal(tmp_path):
    layer, inputs = attention(name="mha"), keras.Input((T, F))
    model = keras.Model(inputs, layer(inputs, inputs))
    for dense in (layer.query_dense, layer.output_dense):
        dense.quantize("int8")
        dense.enable_lora(2)
        dense.lora_kernel_b.assign(np.ones(dense.lora_kernel_b.shape))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    x = draw(2, T, F)
    assert np.array_equal(numpy(loaded(x)), numpy(model(x)))
    assert trained(loaded) == trained(model)
