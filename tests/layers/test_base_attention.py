"""`BaseAttention`: one call, one signature, two children."""

import inspect

import keras
import numpy as np
import pytest
from keras import ops
from layer_inputs import B, D, F, H, S, T, draw, draw_mask, numpy
from tolerances import assert_close

from keras_performer.layers import ExactAttention, FastAttention
from keras_performer.layers.base_attention import BaseAttention
from keras_performer.layers.signatures import with_arguments_of
from keras_performer.layers.sublayer_state import CompositeLayer

CHILDREN = pytest.mark.parametrize("child", [FastAttention, ExactAttention])


class MeanAttention(BaseAttention):
    """The smallest child: every query weighs all keys that it sees alike."""

    seen = None

    def _attend(self, inputs, training):
        self.seen = inputs
        weights = ops.cast(self._scores(inputs), inputs.values.dtype)
        return ops.einsum("bhts,bshd->bthd", weights, inputs.values)

    def _scores(self, inputs):
        shape = (B, self.num_heads, inputs.queries.shape[1], inputs.keys.shape[1])
        mask = ops.ones(shape) if inputs.key_mask is None else inputs.key_mask
        weights = ops.broadcast_to(ops.cast(mask, "float32")[:, None, None, :], shape)
        return weights / ops.sum(weights, axis=-1, keepdims=True)


@CHILDREN
def test_no_class_stands_between(child):
    assert child.__bases__ == (BaseAttention,)
    assert BaseAttention.__bases__ == (CompositeLayer,)
    for name in ("call", "compute_output_spec", "compute_output_shape"):
        assert name not in vars(child), name


def test_the_base_is_abstract():
    with pytest.raises(TypeError, match=r"_attend.*_scores"):
        BaseAttention(H, D)


def test_a_child_gets_heads_and_masks():
    layer = MeanAttention(H, D, bias_initializer="ones", rotary_base=None)
    x, mask = draw(B, T, F), draw_mask(T)
    output, scores = layer(
        x, x, value_mask=mask, query_mask=mask, return_attention_scores=True
    )
    assert tuple(layer.seen.queries.shape) == (B, T, H, D)
    for name in ("query_mask", "key_mask"):
        assert np.array_equal(numpy(getattr(layer.seen, name)), mask)
    assert layer.seen.segment_ids is None
    assert layer.seen.causal is False
    values = numpy(layer.value_dense(x))
    heads = np.einsum("bhts,bshd->bthd", numpy(scores), values)
    assert_close(numpy(output), numpy(layer.output_dense(heads.astype("float32"))))


def test_arguments_by_position_are_those_of_keras():
    given = (H, D, 7, 0.25, False, (4,), (1,), None, None, "ones", "zeros")
    ours, theirs = FastAttention(*given), keras.layers.MultiHeadAttention(*given)
    for layer in (ours, theirs):
        layer.build((B, T, F), (B, S, F))
    config, expected = ours.get_config(), theirs.get_config()
    for name in ("num_heads", "key_dim", "value_dim", "dropout", "use_bias"):
        assert config[name] == expected[name] == getattr(ours, name)
    assert np.all(numpy(ours.query_dense.kernel) == 1)


def test_the_signature_has_what_is_inherited_and_what_is_added():
    names = list(inspect.signature(FastAttention.__init__).parameters)
    inherited = list(inspect.signature(BaseAttention.__init__).parameters)
    assert names[: len(inherited) - 1] == inherited[:-1]
    added = ["feature_map", "num_features", "projection", "exact_window", "kwargs"]
    assert names[len(inherited) - 1 :] == added
    by_position = inspect.getfullargspec(FastAttention.__init__).args
    assert by_position[:3] == ["self", "num_heads", "key_dim"]


def test_too_many_and_unknown_arguments_are_refused():
    with pytest.raises(TypeError, match="positional"):
        FastAttention(*range(1, 30))
    with pytest.raises(ValueError, match="number_of_heads"):
        FastAttention(H, D, number_of_heads=3)

    class Child(MeanAttention):
        @with_arguments_of(MeanAttention)
        def __init__(self, *args, own, **kwargs):
            super().__init__(*args, **kwargs)

    with pytest.raises(TypeError, match="own"):
        Child(H, D)


@CHILDREN
def test_a_subclass_may_wrap_the_call(child):
    """As user code does, with the signature of Keras's layer."""

    class Doubled(child):
        def call(self, query, value, key=None, **kwargs):
            return 2 * super().call(query, value, key, **kwargs)

    plain, doubled = (kind(H, D, seed=0, name="same") for kind in (child, Doubled))
    x = draw(B, T, F)
    for layer in (plain, doubled):
        layer.build(x.shape, x.shape)
    for source, target in zip(plain.weights, doubled.weights, strict=True):
        target.assign(source)
    options = {"use_causal_mask": True}
    assert_close(numpy(doubled(x, x, **options)), 2 * numpy(plain(x, x, **options)))
    inputs = keras.Input((None, F))
    assert doubled(inputs, inputs).shape == (None, None, F)


@CHILDREN
@pytest.mark.parametrize("name", ["_compute_attention", "_masked_softmax"])
def test_a_hook_of_keras_that_nothing_would_call_is_refused(child, name):
    """When the class is made, whether it has the hook or inherits it."""
    with pytest.raises(ValueError, match=f"'Child' overrides {name}, which"):
        type("Child", (child,), {name: lambda self, *args, **kwargs: None})
    mixin = type("Mixin", (), {name: lambda self: None})
    with pytest.raises(ValueError, match=f"'Child' overrides {name}, which"):
        type("Child", (mixin, child), {})
    type("Child", (child,), {"call": child.call, "_own": lambda self: None})
