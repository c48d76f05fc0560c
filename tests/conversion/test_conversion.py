"""Weights of a model with exact attention, in the same model with linear attention."""

import keras
import numpy as np
import pytest

from keras_performer.conversion import copy_weights
from keras_performer.layers import ExactAttention, FastAttention

SHAPE = (None, None, 6)


def model_of(attention, name=None, **arguments):
    """Two attention layers among others, whose names are those that Keras makes up."""
    x = inputs = keras.Input((None,), dtype="int32")
    x = keras.layers.Embedding(11, 6)(x)
    for _ in range(2):
        x = attention(num_heads=2, key_dim=3, name=name, **arguments)(x, x)
        x = keras.layers.LayerNormalization()(x)
    return keras.Model(inputs, keras.layers.Dense(5)(x))


def drawn(model):
    generator = np.random.default_rng(0)
    for weight in model.trainable_weights:
        weight.assign(generator.standard_normal(weight.shape))
    return model


def test_a_model_computes_with_the_weights_of_the_other():
    source = drawn(model_of(keras.layers.MultiHeadAttention))
    ids = np.array([[1, 2, 3, 4]])
    exact = model_of(ExactAttention)
    copied = copy_weights(source, exact)
    assert not copied.kept
    assert not copied.left
    np.testing.assert_allclose(exact(ids), source(ids), atol=1e-5)

    linear = model_of(FastAttention, seed=1)
    projections = [w.numpy() for w in linear.non_trainable_weights]
    copied = copy_weights(source, linear)
    assert [path.split("/")[-1] for path in copied.kept] == ["projection"] * 2
    assert len(copied.copied) == len(source.weights)
    values = zip(source.trainable_weights, linear.trainable_weights, strict=True)
    assert all(np.array_equal(a, b) for a, b in values)
    after = [w.numpy() for w in linear.non_trainable_weights]
    assert all(map(np.array_equal, projections, after))


def test_the_order_of_weights_does_not_matter():
    # A gate stands between the weights that Keras's layer has without it.
    linear = FastAttention(2, 3, use_gate=True, seed=0)
    gated = ExactAttention(2, 3, use_gate=True)
    for layer in (linear, gated):
        layer.build(SHAPE, SHAPE)
    copy_weights(drawn(gated), linear)
    for name in ("query", "key", "value", "output"):
        a, b = (getattr(x, f"{name}_dense").kernel for x in (gated, linear))
        assert np.array_equal(a, b)


def test_what_does_not_fit_is_refused_and_nothing_is_copied():
    source, target = keras.layers.MultiHeadAttention(2, 3), FastAttention(2, 3)
    with pytest.raises(ValueError, match="`source` has no weights yet"):
        copy_weights(source, target)
    for layer, shape in ((source, SHAPE), (target, (None, None, 7))):
        layer.build(shape, shape)
    before = [w.numpy() for w in target.weights]
    with pytest.raises(ValueError, match=r"query/kernel \(6, 2, 3\) and .*\(7, 2, 3\)"):
        copy_weights(source, target)
    assert all(
        np.array_equal(a, b) for a, b in zip(before, target.weights, strict=True)
    )

    target = FastAttention(2, 3, use_bias=False)
    target.build(SHAPE, SHAPE)
    with pytest.raises(ValueError, match="query/bias, of the source alone"):
        copy_weights(source, target)
