"""`FastAttention` on inputs of more axes: it is attention over their product."""

import keras
import numpy as np
import pytest
from layer_inputs import B, D, H, attention, copy_weights, draw, numpy, weights
from tolerances import EXACT, assert_close

from keras_performer import layers
from keras_performer.layers.attention_axes import AttentionAxes

F, FV = 10, 14
# Sizes of the query and of the value between batch and features, by attention axes.
CASES = [
    ((2,), (3, 5), (3, 7)),
    ((-2,), (3, 5), (3, 7)),
    ((1,), (5, 3), (7, 3)),
    (None, (3, 5), (2, 7)),
    ((2, 1), (3, 5), (2, 7)),
    ((2, 3), (4, 3, 5), (4, 2, 7)),
    ((3, 1), (3, 4, 5), (2, 4, 7)),
]


def inputs(query, value):
    return draw(B, *query, F, dtype=EXACT), draw(B, *value, FV, seed=1, dtype=EXACT)


def by_hand(x, axes):
    """(B, *axes, ...) as a list of (B, T, ...), one for each index of the others."""
    axes = AttentionAxes(len(x.shape), (axes,) if isinstance(axes, int) else axes)
    free = axes.batch[1:]
    x = np.moveaxis(x, free, range(len(free)))
    x = x.reshape(-1, *x.shape[len(free) :])
    # What is left are the batch and the attended axes, from the first to the last.
    ranks = np.argsort(np.argsort(axes.attended))
    x = np.transpose(x, (0, 1, *(2 + ranks), *range(2 + len(ranks), x.ndim)))
    return x.reshape(*x.shape[:2], -1, *x.shape[2 + len(ranks) :])


@pytest.mark.parametrize(("axes", "query", "value"), CASES, ids=str)
def test_attention_over_the_product(axes, query, value):
    x, y = inputs(query, value)
    mask = np.random.default_rng(0).random(y.shape[:-1]) < 0.65
    layer = attention(attention_axes=axes, use_gate=True, dtype=EXACT)
    flat = attention(use_gate=True, dtype=EXACT)
    output, scores = layer(x, y, value_mask=mask, return_attention_scores=True)
    flat.build((B, 9, F), (B, 9, FV))
    copy_weights(layer, flat)
    xs, ys = by_hand(x, axes), by_hand(y, axes)
    masks = by_hand(mask[..., None], axes)[..., 0]
    expected = [
        flat(*arguments, value_mask=mask, return_attention_scores=True)
        for *arguments, mask in zip(xs, ys, masks, strict=True)
    ]
    actual = by_hand(numpy(output), axes)
    for one, (expected_output, _) in zip(actual, expected, strict=True):
        assert_close(one, numpy(expected_output), EXACT)
    # Keras's order of the scores: batch axes, heads, axes of queries, axes of keys.
    theirs = keras.layers.MultiHeadAttention(H, D, attention_axes=axes, dtype=EXACT)
    _, their_scores = theirs(x, y, return_attention_scores=True)
    assert scores.shape == their_scores.shape
    expected_scores = np.stack([numpy(s) for _, s in expected], axis=1)
    assert_close(numpy(scores), expected_scores.reshape(scores.shape), EXACT)


@pytest.mark.parametrize(("axes", "query", "value"), CASES, ids=str)
def test_weights_are_those_of_keras_at_any_rank(axes, query, value):
    x, y = inputs(query, value)
    theirs = keras.layers.MultiHeadAttention(H, D, attention_axes=axes, name="a")
    ours = attention(attention_axes=axes, name="a")
    for layer in (theirs, ours):
        layer.build(x.shape, y.shape)
    expected = [(w.path, w.shape) for w in theirs.weights]
    assert [(w.path, w.shape) for w in ours.trainable_weights] == expected
    assert ours.attention_axes == theirs.attention_axes


@pytest.mark.parametrize(("axes", "query", "value"), CASES, ids=str)
def test_shapes_are_known_beforehand(axes, query, value):
    x, y = inputs(query, value)
    output_shape = {2: None, 3: (11, 3)}[len(query)]
    layer = attention(attention_axes=axes, output_shape=output_shape)
    before = layer.compute_output_shape(x.shape, list(y.shape))
    specs = layer(
        keras.KerasTensor(x.shape), keras.KerasTensor(y.shape), **{SCORES: True}
    )
    actual = layer(x, y, **{SCORES: True})
    assert before == tuple(actual[0].shape)
    for spec, tensor in zip(specs, actual, strict=True):
        assert spec.shape == tuple(tensor.shape)


SCORES = "return_attention_scores"


@pytest.mark.parametrize(("axes", "query", "value"), CASES[::6], ids=str)
def test_a_functional_model_of_unknown_sizes(axes, query, value):
    x, y = (a.astype("float32") for a in inputs(query, value))
    sources = [
        keras.Input((*(None for _ in sizes), features))
        for sizes, features in ((query, F), (value, FV))
    ]
    layer = attention(attention_axes=axes)
    outputs = layer(*sources, **{SCORES: True})
    assert outputs[0].shape == (None, *(None for _ in query), F)
    model = keras.Model(sources, outputs)
    expected = layer(x, y, **{SCORES: True})
    for one, other in zip(model.predict([x, y], verbose=0), expected, strict=True):
        assert_close(one, numpy(other))


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="TensorFlow's partial shapes"
)
def test_known_sizes_stay_known_in_a_graph():
    import tensorflow as tf

    layer = attention(attention_axes=2)
    layer.build((B, None, 5, F), (B, None, 7, F))
    shapes = []

    @tf.function(autograph=False)
    def call(x, y):
        shapes.extend(layer(x, y, **{SCORES: True}))
        return shapes[0]

    call.get_concrete_function(
        tf.TensorSpec((None, None, 5, F)), tf.TensorSpec((None, None, 7, F))
    )
    assert shapes[0].shape.as_list() == [None, None, 5, F]
    assert shapes[1].shape.as_list() == [None, None, H, 5, 7]


@pytest.mark.parametrize("axis", [1, 2])
def test_causal_along_one_of_two_axes(axis):
    x = draw(B, 3, 7, F, dtype=EXACT)
    layer = attention(attention_axes=axis, dtype=EXACT)
    output = layer(x, x, use_causal_mask=True)
    flat = attention(dtype=EXACT)
    flat.build((B, 7, F), (B, 7, F))
    copy_weights(layer, flat)
    for actual, row in zip(by_hand(numpy(output), axis), by_hand(x, axis), strict=True):
        expected = flat(row, row, use_causal_mask=True)
        assert_close(actual, numpy(expected), EXACT)


@pytest.mark.parametrize("symbolic", [False, True])
def test_causal_over_several_axes_is_refused(symbolic):
    x = keras.Input((3, 7, F)) if symbolic else draw(B, 3, 7, F)
    with pytest.raises(ValueError, match="`use_causal_mask=True` needs one axis"):
        attention()(x, x, use_causal_mask=True)


KEY_MASK = np.random.default_rng(3).random((B, 3, 7)) < 0.65


@pytest.mark.parametrize(
    ("axes", "masks"),
    [
        (2, [KEY_MASK[:, :, None], KEY_MASK[:, :, None, None]]),
        (1, [np.moveaxis(KEY_MASK, 2, 1)[:, :, None]]),
        (None, [KEY_MASK[:, None, None], KEY_MASK[:, None, None, None]]),
        ((2, 1), [np.moveaxis(KEY_MASK, 2, 1)[:, None, None]]),
    ],
    ids=["last", "first", "both", "both, turned"],
)
def test_an_attention_mask_that_is_a_key_mask(axes, masks):
    """In the shape of the scores, with 1 for heads and queries."""
    x = draw(B, 3, 7, F)
    layer = attention(attention_axes=axes)
    expected = numpy(layer(x, x, key_mask=KEY_MASK))
    assert not np.allclose(expected, numpy(layer(x, x)))
    for mask in masks:
        assert np.array_equal(numpy(layer(x, x, attention_mask=mask)), expected)
    full = np.ones(numpy(layer(x, x, **{SCORES: True})[1]).shape, "bool")
    for other in (full, KEY_MASK):
        with pytest.raises(ValueError, match="`attention_mask` must be a key mask"):
            layer(x, x, attention_mask=other)


def test_one_mask_for_a_whole_batch_axis():
    x = draw(B, 3, 7, F)
    layer = attention(attention_axes=2)
    expected = layer(x, x, value_mask=np.repeat(KEY_MASK[:, :1], 3, axis=1))
    assert np.array_equal(
        numpy(layer(x, x, value_mask=KEY_MASK[:, :1])), numpy(expected)
    )


def test_implicit_masks_count_and_pass_on():
    ids = np.where(KEY_MASK, 3, 0)
    x = keras.layers.Embedding(5, F, mask_zero=True)(ids)
    layer = attention()
    output = layer(x, x)
    assert np.array_equal(numpy(output._keras_mask), KEY_MASK)
    plain = keras.ops.convert_to_tensor(numpy(x))
    expected = layer(plain, plain, value_mask=KEY_MASK)
    assert np.array_equal(numpy(output), numpy(expected))


def test_the_activity_regularizer_divides_by_the_batch_alone():
    x = draw(B, 3, 7, F)
    arguments = {"activity_regularizer": "l2", "attention_axes": 2}
    theirs = keras.layers.MultiHeadAttention(H, D, **arguments)
    ours = attention(**arguments)
    for layer in (theirs, ours):
        layer.build(x.shape, x.shape)
    copy_weights(theirs, ours)
    ours(x, x), theirs(x, x)
    expected = sorted(float(numpy(loss)) for loss in theirs.losses)[-3:]
    actual = sorted(float(numpy(loss)) for loss in ours.losses)[-3:]
    # Of queries, keys and values: the outputs are approximate.
    assert_close(actual, expected)


def test_moments_are_those_of_the_folded_heads():
    x = draw(B, 3, 7, F)
    layer = attention(feature_map="favor_sharp", attention_axes=2)
    flat = attention(feature_map="favor_sharp")
    layer.build(x.shape, x.shape)
    flat.build((B, 7, F), (B, 7, F))
    copy_weights(layer, flat)
    layer(x, x, query_mask=KEY_MASK, value_mask=KEY_MASK, training=True)
    masks = KEY_MASK.reshape(-1, 7)
    folded = x.reshape(-1, 7, F)
    flat(folded, folded, query_mask=masks, value_mask=masks, training=True)
    for path, weight in weights(flat).items():
        assert_close(numpy(weights(layer)[path]), numpy(weight), "float32")


def test_empty_axes():
    layer = attention(attention_axes=2)
    layer.build((B, None, None, F), (B, None, None, F))
    x = draw(B, 3, 7, F)
    output = layer(x, x[:, :, :0])
    bias = numpy(weights(layer)["attention_output/bias"])
    assert_close(numpy(output), np.broadcast_to(bias, x.shape))
    assert tuple(layer(x[:, :, :0], x).shape) == (B, 3, 0, F)
    assert tuple(layer(x[:, :0], x[:, :0]).shape) == (B, 0, 7, F)


@pytest.mark.parametrize(
    "axes", [0, -1, (), (1, 0), 1.0, True, "1", (1, "2"), (1, 1.0)], ids=str
)
def test_what_is_no_axis_is_refused(axes):
    with pytest.raises(ValueError, match="`attention_axes` must") as caught:
        attention(attention_axes=axes)
    assert f"attention_axes={axes!r}" in str(caught.value)


@pytest.mark.parametrize("axes", [2, -2 - 1, (1, -2), (1, 1), -4], ids=str)
def test_axes_that_the_input_has_not_are_refused(axes):
    with pytest.raises(ValueError, match=r"axis 2 or -1: some of \(1,\) for inputs"):
        attention(attention_axes=axes).build((B, 5, F), (B, 5, F))


@pytest.mark.parametrize(
    ("query", "value", "message"),
    [
        ((B, 3, 5, F), (B, 4, 7, F), "equal in the batch and in every axis"),
        ((B, 3, 5, F), (B + 1, 3, 7, F), "equal in the batch and in every axis"),
        ((B, 3, 5, F), (B, 7, F), "`value` must have rank 4"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(query, value, message):
    with pytest.raises(ValueError, match=message):
        attention(attention_axes=2).compute_output_shape(query, value)
    with pytest.raises(ValueError, match=message):
        attention(attention_axes=2)(draw(*query), draw(*value))


@pytest.mark.parametrize("symbolic", [False, True])
def test_a_layer_has_the_rank_that_it_was_built_for(symbolic):
    layer = attention()
    layer.build((B, 3, 5, F), (B, 3, 5, F))
    x = keras.Input((5, F)) if symbolic else draw(B, 5, F)
    with pytest.raises(ValueError, match="`query` must have rank 4, for which"):
        layer(x, x)


def test_streams_have_one_axis():
    layer = attention(attention_axes=2)
    layer.build((B, 3, 5, F), (B, 3, 5, F))
    with pytest.raises(ValueError, match="Streaming needs inputs of rank 3"):
        layer.initial_state(B)
    layer = attention()
    layer.build((B, 5, F), (B, 5, F))
    state = layer.initial_state(B)
    for stream in (layer.prefill, layer.step):
        with pytest.raises(ValueError, match="Streaming needs inputs of rank 3"):
            stream(draw(B, 3, 5, F), state)


@pytest.mark.parametrize("axis", [1, 2])
def test_positions_for_all_rows_are_those_of_the_axis_of_attention(axis):
    """Of 3 or 7, whichever of the two axes is the last one."""
    x = draw(B, 3, 7, F)
    layer = attention(attention_axes=axis, rotary_base=100.0, key_dim=4)
    positions = np.arange(x.shape[axis])
    expected = numpy(layer(x, x))
    assert_close(numpy(layer(x, x, positions=positions)), expected)
    with pytest.raises(ValueError, match="`positions` must have the shape"):
        layer(x, x, positions=np.arange(x.shape[3 - axis]))


@pytest.mark.parametrize("name", ["FastAttention", "ExactAttention"])
def test_a_wrapper_of_one_input_is_told_of_the_axes(name):
    x = draw(B, 3, 7, F)
    layer = getattr(layers, name)(H, D)
    with pytest.raises(ValueError, match="with `attention_axes=2`"):
        keras.layers.TimeDistributed(layer)(x, x)
