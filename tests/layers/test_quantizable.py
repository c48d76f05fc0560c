"""`quantizable`: LoRA's factors in files, and the token embedding's masks."""

import keras
import numpy as np
import pytest
from layer_inputs import draw, numpy
from tolerances import assert_close

from keras_performer.layers.quantizable import Dense, EinsumDense, ReversibleEmbedding

MAKERS = {
    "dense": lambda: Dense(4),
    "einsum_dense": lambda: EinsumDense("btf,fg->btg", (None, 4)),
    "embedding": lambda: ReversibleEmbedding(7, 4),
}
INPUTS = {"dense": draw(2, 3, 5), "einsum_dense": draw(2, 3, 5)}


def built(kind, lora=False, mode=None):
    layer = MAKERS[kind]()
    layer(INPUTS.get(kind, np.arange(6).reshape(2, 3)))
    if mode:
        layer.quantize(mode)
    if lora:
        layer.enable_lora(2)
        for name in layer._lora_factors:
            factor = getattr(layer, name)
            factor.assign(draw(*factor.shape))
    return layer


def output(layer):
    is_embedding = isinstance(layer, ReversibleEmbedding)
    inputs = np.arange(6).reshape(2, 3) if is_embedding else INPUTS["dense"]
    return numpy(layer(inputs))


def move(layer, other):
    store = {}
    layer.save_own_variables(store)
    other.load_own_variables({name: numpy(value) for name, value in store.items()})


@pytest.mark.parametrize("mode", [None, "int8"])
@pytest.mark.parametrize("kind", MAKERS)
def test_lora_is_loaded_as_it_was(kind, mode):
    layer, other = built(kind, lora=True, mode=mode), built(kind, mode=mode)
    other.enable_lora(2)
    move(layer, other)
    assert np.array_equal(output(other), output(layer))
    for new, old in zip(other.weights, layer.weights, strict=True):
        assert np.array_equal(numpy(new), numpy(old))


@pytest.mark.parametrize("kind", MAKERS)
def test_merged_weights_fit_a_layer_without_lora_and_back(kind):
    layer, plain = built(kind, lora=True), built(kind)
    move(layer, plain)
    assert_close(output(plain), output(layer))
    move(plain, layer)
    assert_close(output(layer), output(plain))
    first, second = (numpy(getattr(layer, name)) for name in layer._lora_factors)
    # From two zeros, which Keras loads, no gradient would come.
    assert np.all(first != 0)
    assert np.all(second == 0)
    # Factors of another rank are not those of this layer.
    other = built(kind)
    other.enable_lora(3)
    layer = built(kind, lora=True)
    move(layer, other)
    assert_close(output(other), output(layer))


# PyTorch, of how Keras transposes the scales, which have one axis.
@pytest.mark.filterwarnings("ignore:The use of `x.T`:UserWarning")
@pytest.mark.parametrize("mode", [None, "int8", "int4"])
def test_the_embedding_masks_padding(mode):
    layer = ReversibleEmbedding(7, 4, mask_zero=True)
    layer(np.ones((1, 1), "int32"))
    if mode:
        layer.quantize(mode)
    embedded = layer(np.array([[0, 3, 0, 6]]))
    assert numpy(embedded._keras_mask).tolist() == [[False, True, False, True]]
    assert getattr(layer(embedded, reverse=True), "_keras_mask", None) is None


def test_ids_and_uses_that_are_refused():
    layer = ReversibleEmbedding(7, 4)
    for arguments in ({"reverse": True}, {"shared": True}):
        with pytest.raises(ValueError, match="not built"):
            layer(draw(1, 2, 4), **arguments)
    layer(np.array([[0, 6]]))
    for token_id in (-1, 7):
        with pytest.raises(ValueError, match=f"less than 7.*Received: {token_id}"):
            layer(np.array([[3, token_id]]))
    inputs = keras.Input((None,), dtype="int32")
    assert keras.Model(inputs, layer(inputs)).output_shape == (None, None, 4)
