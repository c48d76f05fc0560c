"""A forget gate, normalized heads and another gate, in both kinds of attention."""

import keras
import numpy as np
import pytest
from layer_inputs import B, D, F, H, T, attention, draw, draw_mask, numpy, weights
from tolerances import EXACT, assert_close

from keras_performer.layers import ExactAttention, FastAttention
from keras_performer.ops import (
    exact_attention_scores,
    kernel_attention_scores,
)

GATED = {
    "forget_gate": True,
    "normalize_heads": True,
    "use_gate": True,
    "gate_activation": "silu",
}
KINDS = pytest.mark.parametrize("kind", [FastAttention, ExactAttention])


def make(kind, **arguments):
    biases = keras.initializers.RandomNormal(stddev=0.5, seed=1)
    own = {"num_features": 19} if kind is FastAttention else {}
    layer = kind(H, D, bias_initializer=biases, seed=0, **own, **arguments)
    layer.build((None, None, F), (None, None, F))
    if layer.forget_gate:  # one that forgets much, and differently
        bias = layer._forget_gate_dense.bias
        bias.assign(draw(*bias.shape, seed=3))
    if layer.normalize_heads:
        scale = layer._head_norm.scale
        scale.assign(1 + 0.3 * draw(*scale.shape, seed=4))
    return layer


def rms_normalized(x):
    return x / np.sqrt(np.mean(np.square(x), axis=-1, keepdims=True) + 1e-5)


@pytest.mark.backends
@pytest.mark.parametrize("causal", [True, False])
@KINDS
def test_the_output_by_the_formula(kind, causal):
    layer = make(kind, dtype=EXACT, num_key_value_heads=1, **GATED)
    x, mask = draw(B, T, F, dtype=EXACT), draw_mask(T)
    output = layer(x, x, value_mask=mask, use_causal_mask=causal)
    w = {path: numpy(weight) for path, weight in weights(layer).items()}

    def project(name, equation="btf,fhd->bthd"):
        return np.einsum(equation, x, w[f"{name}/kernel"]) + w[f"{name}/bias"]

    gate = project("forget_gate", "btf,fh->bth")
    log_decay = -np.log1p(np.exp(-gate)) * mask[..., None]
    seen = mask[:, None, None] & (np.tri(T, dtype="bool") | (not causal))
    heads = project("query"), project("key")
    if kind is FastAttention:
        maps = layer.feature_map, {"projection": w["projection"].astype(EXACT)}
        scores = kernel_attention_scores(*heads, *maps, seen, log_decay=log_decay)
    else:
        scores = exact_attention_scores(*heads, seen, log_decay)
    values = np.repeat(project("value"), H, axis=2)
    heads = np.einsum("bhts,bshd->bthd", numpy(scores), values)
    heads = rms_normalized(heads) * w["head_norm/scale"]
    gate = project("gate")
    heads = heads * gate / (1 + np.exp(-gate))
    expected = np.einsum("bthd,hdf->btf", heads, w["attention_output/kernel"])
    expected = expected + w["attention_output/bias"]
    # Keras's softmax is float32, and its normalization on other backends.
    is_exact = kind is FastAttention and keras.backend.backend() == "tensorflow"
    dtype = EXACT if is_exact else "float32"
    assert_close(numpy(output), expected, dtype)


@KINDS
def test_the_scores_weigh_the_values_of_the_output(kind):
    layer = make(kind, forget_gate=True, use_bias=False)
    x, mask = draw(B, T, F), draw_mask(T)
    output, scores = layer(x, x, value_mask=mask, return_attention_scores=True)
    heads = np.einsum("bhts,bshd->bthd", numpy(scores), numpy(layer.value_dense(x)))
    assert_close(numpy(layer.output_dense(heads)), numpy(output))


@KINDS
def test_a_gate_of_one_is_the_layer_without(kind):
    layer, plain = make(kind, forget_gate=True), make(kind)
    of_plain = weights(plain)
    for path, weight in weights(layer).items():
        if path in of_plain:
            of_plain[path].assign(weight)
    layer._forget_gate_dense.kernel.assign(np.zeros((F, H)))
    layer._forget_gate_dense.bias.assign(np.full(H, 200.0))
    x = draw(B, T, F)
    for causal in (True, False):
        actual = numpy(layer(x, x, use_causal_mask=causal))
        assert_close(actual, numpy(plain(x, x, use_causal_mask=causal)))


@KINDS
def test_memories_of_different_lengths_at_the_start(kind):
    layer = kind(5, 4, forget_gate=True, seed=0)
    layer.build((None, None, 8), (None, None, 8))
    assert np.allclose(numpy(layer._forget_gate_dense.bias), [2, 3, 4, 5, 6])
    alone = kind(1, 4, forget_gate=True, use_bias=False, seed=0)
    alone.build((None, None, 8), (None, None, 8))
    assert np.allclose(numpy(alone._forget_gate_dense.bias), [4])


@KINDS
def test_it_is_saved_and_loaded(kind):
    layer = make(kind, **GATED)
    again = kind.from_config(layer.get_config())
    again.build((None, None, F), (None, None, F))
    again.set_weights(layer.get_weights())
    x = draw(B, T, F)
    assert np.array_equal(numpy(again(x, x)), numpy(layer(x, x)))


@KINDS
def test_several_axes_have_no_order_to_forget_along(kind):
    layer = kind(2, 4, forget_gate=True)
    with pytest.raises(ValueError, match="needs one axis of attention"):
        layer.build((B, 3, 4, F), (B, 3, 4, F))
    one = kind(2, 4, forget_gate=True, attention_axes=2, seed=0)
    x = draw(B, 3, T, F)
    output = numpy(one(x, x))
    assert_close(output[:, 1], numpy(one(x[:, 1:2], x[:, 1:2]))[:, 0])


@KINDS
def test_cross_attention_does_not_forget(kind):
    layer = make(kind, forget_gate=True)
    with pytest.raises(ValueError, match="with a key for each query"):
        layer(draw(B, T, F), draw(B, T + 1, F))


def test_an_activation_needs_its_gate():
    with pytest.raises(ValueError, match="`use_gate=True` makes"):
        attention(gate_activation="silu")


def test_states_of_the_layer_without_are_refused():
    gated, plain = (make(FastAttention, forget_gate=g) for g in (True, False))
    x = draw(B, T, F)
    for layer, other in ((gated, plain), (plain, gated)):
        with pytest.raises(ValueError, match="`state` must be what"):
            layer.prefill(x, other.initial_state(B))


@pytest.mark.backends
def test_half_precision_sums_in_float32():
    layer = make(FastAttention, forget_gate=True, dtype="mixed_bfloat16")
    state = layer.initial_state(B)
    _, state = layer.prefill(draw(B, T, F), state)
    for part in keras.tree.flatten(state.attention):
        assert keras.backend.standardize_dtype(part.dtype) == "float32"
