"""`ExactAttention`: Keras's attention, with what `FastAttention` has around it."""

import keras
import numpy as np
import pytest
from gradients import value_and_gradients
from layer_inputs import (
    B,
    D,
    F,
    H,
    S,
    T,
    copy_weights,
    draw,
    draw_inputs,
    draw_mask,
    numpy,
)
from tolerances import assert_close

from keras_performer.layers import ExactAttention, FastAttention
from keras_performer.ops import exact_attention, rotary


def make(**arguments):
    biases = keras.initializers.RandomNormal(stddev=0.5, seed=1)
    return ExactAttention(H, D, bias_initializer=biases, seed=0, **arguments)


@pytest.mark.parametrize("causal", [False, True])
def test_it_is_keras_attention(causal):
    layer, of_keras = make(), keras.layers.MultiHeadAttention(H, D)
    inputs, mask = draw_inputs(source=T), draw_mask(T)
    of_keras.build(*(x.shape for x in inputs))
    layer.build(*(x.shape for x in inputs))
    copy_weights(layer, of_keras)
    options = {"value_mask": mask, "use_causal_mask": causal}
    assert_close(numpy(layer(*inputs, **options)), numpy(of_keras(*inputs, **options)))


def of_reference(layer, x, mask):
    """The layer by its parts, with every matrix written out."""
    heads = [numpy(dense(x)) for dense in (layer.query_dense, layer.key_dense)]
    if layer.rotary_base:
        positions = np.arange(x.shape[1])[None]
        heads = [numpy(rotary(h, positions, layer.rotary_base)) for h in heads]
    return numpy(
        layer.output_dense(exact_attention(*heads, layer.value_dense(x), mask))
    )


@pytest.mark.parametrize("arguments", [{}, {"num_key_value_heads": 1}])
@pytest.mark.parametrize("causal", [False, True])
def test_value_and_gradient(arguments, causal):
    layer, x, mask = make(**arguments), draw(B, T, F), draw_mask(T)
    layer.build(x.shape, x.shape)
    visible = mask[:, None, None, :] & (np.tri(T, dtype="bool") | (not causal))
    upstream = draw(B, T, F, seed=5)

    def attend(x):
        return layer(x, x, value_mask=mask, use_causal_mask=causal)

    value, (gradient,) = value_and_gradients(attend, [x], upstream)
    assert_close(value, of_reference(layer, x, visible))
    step = 1e-2
    moved = sum(
        sign * np.sum(upstream * numpy(attend(x + sign * step * upstream)))
        for sign in (-1.0, 1.0)
    )
    np.testing.assert_allclose(np.sum(gradient * upstream), moved / 2 / step, rtol=0.02)


def test_rotary_positions():
    layer, x = ExactAttention(2, 4, rotary_base=10.0, seed=0), draw(B, T, F)
    layer.build(x.shape, x.shape)
    visible = np.tri(T, dtype="bool")
    output = numpy(layer(x, x, use_causal_mask=True))
    assert_close(output, of_reference(layer, x, visible))


def test_padding_is_as_absence():
    layer = ExactAttention(2, 4, rotary_base=10.0, seed=0)
    x, mask = draw(B, T, F), draw_mask(T)
    output = numpy(layer(x, x, query_mask=mask, value_mask=mask))
    for row in range(B):
        alone = x[row : row + 1, mask[row]]
        assert_close(output[row : row + 1, mask[row]], numpy(layer(alone, alone)))


def test_rows_that_see_nothing_are_zeros():
    layer = make()
    query, value, _ = draw_inputs()
    nothing = np.zeros((B, S), "bool")
    output = numpy(layer(query, value, value_mask=nothing))
    bias = numpy(layer.output_dense.bias)
    assert_close(output, np.broadcast_to(bias, output.shape))


def test_scores():
    layer = make()
    query, value, key = draw_inputs()
    output, scores = layer(query, value, key, return_attention_scores=True)
    assert tuple(scores.shape) == (B, H, T, S)
    heads = np.einsum("bhts,bshd->bthd", numpy(scores), numpy(layer.value_dense(value)))
    assert_close(numpy(output), numpy(layer.output_dense(heads.astype("float32"))))


def test_config_and_weights_are_those_of_linear_attention():
    layer = make(dropout=0.25, rotary_base=None, use_gate=True)
    restored = ExactAttention.from_config(layer.get_config())
    assert restored.get_config() == layer.get_config()
    of_features = {"feature_map", "num_features", "projection", "exact_window"}
    linear = FastAttention(H, D).get_config()
    assert set(linear) - set(layer.get_config()) == of_features


def test_dropout_acts_in_training_only():
    layer, x = make(dropout=0.5), draw(B, T, F)
    plain = numpy(layer(x, x))
    assert np.array_equal(plain, numpy(layer(x, x, training=False)))
    assert not np.any(plain == numpy(layer(x, x, training=True)))
