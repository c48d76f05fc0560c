"""Arguments that do not fit, and the errors that say what does."""

import keras
import numpy as np
import pytest
from layer_inputs import FK, FV, B, D, F, H, S, T, attention, draw, draw_inputs, numpy
from tolerances import assert_close

from keras_performer.layers import FastAttention, validation


@pytest.mark.parametrize(
    "name",
    ["num_heads", "key_dim", "value_dim", "num_features", "num_key_value_heads"],
)
@pytest.mark.parametrize("size", [0, -1, 2.0, True, "3"], ids=repr)
def test_sizes(name, size):
    with pytest.raises(ValueError, match=f"`{name}` must be a positive") as caught:
        FastAttention(**{"num_heads": H, "key_dim": D, name: size})
    assert f"{name}={size!r}" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("dropout", True, r"a rate in \[0, 1\]"),
        ("dropout", "0.1", r"a rate in \[0, 1\]"),
        ("dropout", float("nan"), r"a rate in \[0, 1\]"),
        ("output_shape", True, "an int, or a tuple"),
        ("output_shape", 8.0, "an int, or a tuple"),
        ("output_shape", 0, "positive integers"),
        ("output_shape", (4, 2.0), "positive integers"),
        ("seed", 1.5, "a non-negative integer"),
        ("seed", True, "a non-negative integer"),
        ("seed", -1, "a non-negative integer"),
    ],
)
def test_other_arguments(name, value, expected):
    with pytest.raises(ValueError, match=f"`{name}` must be .*{expected}") as caught:
        FastAttention(**{"num_heads": H, "key_dim": D, name: value})
    assert f"{name}={value!r}" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "known"), [("feature_map", "softmax"), ("projection", "orthogonal")]
)
def test_unknown_names(name, known):
    with pytest.raises(ValueError, match=known) as caught:
        FastAttention(H, D, **{name: "orthomax"})
    assert "orthomax" in str(caught.value)


SHAPES = {"query": (B, T, F), "value": (B, S, FV), "key": (B, S, FK)}


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("query", (F,), "`query` must have rank 3 or more"),
        ("query", (T, F), "`query` must have rank 3 or more"),
        ("value", (B, S), "`value` must have rank 3"),
        ("value", (B, 2, S, FV), "`value` must have rank 3"),
        ("key", (S, FK), "`key` must have rank 3"),
        ("key", (B, 2, S, FK), "`key` must have rank 3"),
        ("key", (B, S + 1, FK), "the same lengths"),
        ("key", (B + 1, S, FK), "must be equal"),
        ("query", (B + 1, T, F), "must be equal in the batch"),
        ("query", (1, T, F), "must be equal in the batch"),
    ],
)
@pytest.mark.parametrize("built", [False, True])
def test_shapes_of_inputs(name, shape, message, built):
    layer = attention()
    if built:
        layer.build(*SHAPES.values())
        message = message.replace(" or more", "")
    shapes = {**SHAPES, name: shape}
    with pytest.raises(ValueError, match=message) as caught:
        layer(*(draw(*sizes) for sizes in shapes.values()))
    if "more" not in message:
        assert f"{name}.shape={shape}" in str(caught.value)
    with pytest.raises(ValueError, match=message):
        layer.compute_output_shape(*shapes.values())


@pytest.fixture(scope="module")
def layer():
    layer = attention()
    layer.build(*SHAPES.values())
    return layer


def calls(shape):
    """Inputs and a mask of a shape, as arrays and as symbols."""
    yield draw_inputs(), np.ones(shape, "bool")
    inputs = [keras.KerasTensor(sizes) for sizes in SHAPES.values()]
    yield inputs, keras.KerasTensor(shape, dtype="bool")


MASKS = {"query_mask": (B, T), "value_mask": (B, S), "key_mask": (B, S)}


@pytest.mark.parametrize("name", MASKS)
@pytest.mark.parametrize(
    "change",
    [
        lambda shape: shape[:1],
        lambda shape: (*shape, 1),
        lambda shape: (shape[0], 1, shape[1]),
        lambda shape: (shape[0], shape[1] + 1),
        lambda shape: (shape[0], 1),
        lambda shape: (shape[0] + 1, shape[1]),
    ],
    ids=["rank 1", "rank 3", "of scores", "longer", "of one", "more rows"],
)
def test_shapes_of_masks(layer, name, change):
    shape = change(MASKS[name])
    of = name.removesuffix("_mask")
    for inputs, mask in calls(shape):
        with pytest.raises(ValueError, match=f"`{name}` must have the shape") as caught:
            layer(*inputs, **{name: mask})
        message = str(caught.value)
        assert f"`{of}` without its features: {MASKS[name]}" in message
        assert f"{name}.shape={shape}" in message


@pytest.mark.parametrize(
    "shape",
    [
        (S,),
        (T, S),
        (B, S),
        (B, S + 1),
        (B, 1, S + 1),
        (B, 2, S),
        (B, T, S),
        (B, 1, T, S),
    ]
    + [(B, H, 1, S), (B, 1, 1, 1, S), (B, 1), (B, 1, 1), (B + 1, 1, S)],
    ids=str,
)
def test_attention_masks_that_are_no_key_masks(layer, shape):
    for inputs, mask in calls(shape):
        with pytest.raises(ValueError, match="`attention_mask` must be a") as caught:
            layer(*inputs, attention_mask=mask)
        for part in ("value_mask", "use_causal_mask=True", f"{shape}", f"{(B, S, FV)}"):
            assert part in str(caught.value)


@pytest.mark.parametrize("name", ["value_mask", "key_mask", "attention_mask"])
@pytest.mark.parametrize("dtype", ["int8", "int32", "uint8", "float32", "float16"])
def test_masks_of_numbers_are_cast(layer, name, dtype):
    mask = np.random.default_rng(0).random((B, S)) < 0.6
    mask = mask[:, None] if name == "attention_mask" else mask
    expected = numpy(layer(*draw_inputs(), **{name: mask}))
    actual = numpy(layer(*draw_inputs(), **{name: mask.astype(dtype)}))
    assert np.array_equal(actual, expected)


@pytest.mark.parametrize("use_causal_mask", [False, True])
def test_no_keys_and_no_queries(layer, use_causal_mask):
    """The output projection of zeros, as where a mask hides all keys."""
    query, value, key = draw_inputs()
    call = {"use_causal_mask": use_causal_mask, "return_attention_scores": True}
    output, scores = layer(query, value[:, :0], key[:, :0], **call)
    expected = np.broadcast_to(numpy(layer.output_dense.bias), (B, T, F))
    assert_close(numpy(output), expected)
    assert tuple(scores.shape) == (B, H, T, 0)
    output, scores = layer(query[:, :0], value, key, **call)
    assert (tuple(output.shape), tuple(scores.shape)) == ((B, 0, F), (B, H, 0, S))


@pytest.mark.parametrize("target", [5, 70])
@pytest.mark.parametrize("source", [1, 9, 130])
def test_causal_attention_to_another_length(target, source):
    """Key j is seen by query i where j <= i, as in Keras, however many there are."""
    layer = attention(dtype="float64")
    query = draw(B, target, F, dtype="float64")
    value = draw(B, source, F, seed=1, dtype="float64")
    mask = np.random.default_rng(0).random((B, source)) < 0.7
    call = {"value_mask": mask, "return_attention_scores": True}
    output, scores = layer(query, value, use_causal_mask=True, **call)
    assert tuple(scores.shape) == (B, H, target, source)
    for i in {0, 4, source % target, target - 1}:
        seen = mask & (np.arange(source) <= i)
        row, expected = layer(
            query[:, i : i + 1], value, value_mask=seen, return_attention_scores=True
        )
        assert_close(numpy(output)[:, i : i + 1], numpy(row), "float64")
        assert_close(numpy(scores)[:, :, i : i + 1], numpy(expected), "float64")


def test_a_choice_names_the_choices():
    validation.check_choice("color", "red", ("red", "blue"))
    with pytest.raises(ValueError, match=r"one of \('red', 'blue'\).*color='green'"):
        validation.check_choice("color", "green", ("red", "blue"))


def test_a_size_may_be_left_out_where_it_is_optional():
    validation.check_optional_size("width", None)
    validation.check_size("width", 3)
    with pytest.raises(ValueError, match=r"`width` must be a positive.*width=None"):
        validation.check_size("width", None)
