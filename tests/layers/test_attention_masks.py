"""Masks of `FastAttention`: implicit and explicit, and what passes on."""

import keras
import numpy as np
import pytest
from layer_inputs import B, F, H, S, T, attention, draw, draw_inputs, draw_mask, numpy
from tolerances import assert_close

from keras_performer import layers
from keras_performer.layers import attention_masks

MASK, OTHER = draw_mask(seed=1), draw_mask(seed=2)


def masked(x, mask):
    """A tensor with a Keras mask, as an earlier layer leaves it."""
    x = x.copy()
    x[~mask] = 0
    return keras.layers.Masking()(keras.ops.convert_to_tensor(x))


def keras_mask(x):
    mask = getattr(x, "_keras_mask", None)
    return None if mask is None else numpy(mask)


@pytest.fixture
def layer():
    layer = attention()
    layer.build(*(x.shape for x in draw_inputs()))
    return layer


def without(layer, mask, row):
    """The output for one document, its masked positions cut away beforehand."""
    query, value, key = (x[row : row + 1] for x in draw_inputs())
    return numpy(layer(query, value[:, mask[row]], key[:, mask[row]]))


@pytest.mark.parametrize(
    "arguments",
    [
        {"value_mask": MASK},
        {"key_mask": MASK},
        {"attention_mask": MASK[:, None]},
        {"attention_mask": MASK[:, None, None]},
        {"value_mask": MASK.astype("int32")},
        {"key_mask": MASK.astype("float32")},
        {"attention_mask": MASK[:, None].astype("int32")},
        {"value_mask": MASK, "key_mask": MASK, "attention_mask": MASK[:, None]},
    ],
    ids=lambda arguments: " ".join(f"{k}:{v.dtype}" for k, v in arguments.items()),
)
def test_masked_keys_are_absent(layer, arguments):
    output = numpy(layer(*draw_inputs(), **arguments))
    for row in range(B):
        assert_close(output[row : row + 1], without(layer, MASK, row))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("value_mask", "key_mask"),
        ("value_mask", "attention_mask"),
        ("key_mask", "attention_mask"),
    ],
)
def test_masks_are_combined(layer, first, second):
    other = OTHER[:, None] if second == "attention_mask" else OTHER
    output = numpy(layer(*draw_inputs(), **{first: MASK, second: other}))
    for row in range(B):
        assert_close(output[row : row + 1], without(layer, MASK & OTHER, row))


def test_one_mask_for_the_whole_batch(layer):
    output = numpy(layer(*draw_inputs(), attention_mask=MASK[:1, None]))
    both = np.repeat(MASK[:1], B, axis=0)
    assert np.array_equal(output, numpy(layer(*draw_inputs(), value_mask=both)))


@pytest.mark.parametrize("shape", [(B, T, S), (B, H, T, S), (1, T, S), (S,), (B, S)])
def test_a_mask_of_queries_by_keys_is_refused(layer, shape):
    with pytest.raises(
        ValueError, match="`attention_mask` must be a key mask"
    ) as error:
        layer(*draw_inputs(), attention_mask=np.ones(shape, "bool"))
    for hint in ("value_mask", "use_causal_mask", str(shape)):
        assert hint in str(error.value)


@pytest.mark.parametrize("name", ["value", "key"])
def test_implicit_masks_count(layer, name):
    query, value, key = draw_inputs()
    if name == "value":
        value = masked(value, MASK)
    else:
        key = masked(key, MASK)
    output = numpy(layer(query, value, key))
    for row in range(B):
        assert_close(output[row : row + 1], without(layer, MASK, row))
    assert np.array_equal(
        numpy(layer(query, value, key, key_mask=OTHER, value_mask=MASK)),
        numpy(layer(*draw_inputs(), key_mask=OTHER & MASK)),
    )


def test_implicit_and_explicit_masks_are_combined(layer):
    query, value, key = draw_inputs()
    output = layer(query, masked(value, MASK), key, key_mask=OTHER)
    expected = layer(query, value, key, value_mask=MASK & OTHER)
    assert np.array_equal(numpy(output), numpy(expected))


def test_a_mask_on_the_value_counts_where_it_is_the_key_too():
    layer = attention()
    query, value, _ = draw_inputs()
    output = layer(query, masked(value, MASK))
    assert np.array_equal(numpy(output), numpy(layer(query, value, value_mask=MASK)))


@pytest.mark.parametrize("use_causal_mask", [False, True])
def test_an_embedding_masks_self_attention(use_causal_mask):
    ids = np.where(draw_mask(T), 3, 0)
    embedding = keras.layers.Embedding(5, F, mask_zero=True)
    layer = attention()
    x = embedding(ids)
    output = layer(x, x, use_causal_mask=use_causal_mask)
    assert np.array_equal(keras_mask(output), ids != 0)
    plain = keras.ops.convert_to_tensor(numpy(x))
    expected = layer(plain, plain, value_mask=ids != 0, use_causal_mask=use_causal_mask)
    assert np.array_equal(numpy(output), numpy(expected))


@pytest.mark.parametrize("kind", ["explicit", "implicit"])
@pytest.mark.parametrize("return_attention_scores", [False, True])
def test_the_query_mask_passes_on_and_changes_nothing(
    layer, kind, return_attention_scores
):
    query, value, key = draw_inputs()
    mask = draw_mask(T)
    arguments = {"return_attention_scores": return_attention_scores}
    if kind == "explicit":
        result = layer(query, value, key, query_mask=mask, **arguments)
    else:
        query[~mask] = 0
        result = layer(masked(query, mask), value, key, **arguments)
    output = result[0] if return_attention_scores else result
    assert np.array_equal(keras_mask(output), mask)
    assert np.array_equal(numpy(output), numpy(layer(query, value, key)))


def test_without_a_query_mask_the_output_has_none(layer):
    query, value, key = draw_inputs()
    output = layer(query, masked(value, MASK), masked(key, MASK))
    assert keras_mask(output) is None


def test_inputs_keep_their_masks(layer):
    masks = [draw_mask(T), MASK, OTHER]
    inputs = [masked(x, m) for x, m in zip(draw_inputs(), masks, strict=True)]
    layer(*inputs)
    for x, mask in zip(inputs, masks, strict=True):
        assert np.array_equal(keras_mask(x), mask)
    x = masked(draw(B, T, F), masks[0])
    attention()(x, x)  # the same tensor twice
    assert np.array_equal(keras_mask(x), masks[0])


def test_inputs_get_their_masks_back_when_something_fails():
    mask = draw_mask(T)
    x = masked(draw(B, T, F), mask)
    with pytest.raises(RuntimeError), attention_masks.detached(x, x):
        assert keras_mask(x) is None
        raise RuntimeError
    assert np.array_equal(keras_mask(x), mask)


@pytest.mark.parametrize("use_causal_mask", [False, True])
def test_where_no_key_is_left_the_output_projection_of_zeros_comes(use_causal_mask):
    layer = attention()
    x = draw(B, T, F)
    mask = np.array([[True] * T, [False] * T])
    output = layer(x, x, value_mask=mask, use_causal_mask=use_causal_mask)
    bias = numpy(layer.output_dense.bias)
    assert_close(numpy(output)[1], np.broadcast_to(bias, (T, F)))
    assert np.all(np.isfinite(numpy(output)))


def test_masks_reach_the_layer_in_a_functional_model():
    ids = keras.Input((None,), dtype="int32")
    x = keras.layers.Embedding(5, F, mask_zero=True)(ids)
    x = attention()(x, x)
    model = keras.Model(ids, keras.layers.GlobalAveragePooling1D()(x))
    short = np.array([[1, 2, 3]])
    padded = np.array([[0, 1, 0, 2, 3, 0, 0]])
    assert_close(numpy(model(padded)), numpy(model(short)))


def test_explicit_masks_in_a_functional_model():
    inputs = [keras.Input((None, F)), keras.Input((None,), dtype="bool")]
    layer = attention()
    outputs = layer(inputs[0], inputs[0], value_mask=inputs[1])
    model = keras.Model(inputs, outputs)
    x, mask = draw(B, T, F), draw_mask(T)
    assert_close(numpy(model([x, mask])), numpy(layer(x, x, value_mask=mask)))


def test_both_masks_of_a_block_are_combined():
    padding, other = draw_mask(T, seed=1), draw_mask(T, seed=2)
    given = other[:, None].astype("int32")
    merged = attention_masks.block_key_mask("decoder_", padding, given)
    assert np.array_equal(numpy(merged), padding & other)
    merged = attention_masks.block_key_mask("decoder_", None, given)
    assert np.array_equal(numpy(merged), other)
    assert attention_masks.block_key_mask("decoder_", None, None) is None


def test_masks_of_a_block_are_checked():
    with pytest.raises(ValueError, match="`encoder_padding_mask` must have the shape"):
        attention_masks.block_key_mask("encoder_", np.ones((B, 1, T), "bool"), None)
    with pytest.raises(ValueError, match="`encoder_attention_mask` must be a key mask"):
        attention_masks.block_key_mask("encoder_", None, np.ones((B, T, T), "bool"))


@pytest.mark.parametrize("name", ["FastAttention", "ExactAttention"])
def test_a_causal_mask_of_as_many_rows_as_a_batch_is_no_key_mask(name):
    """Batch, queries and keys of one size: two readings would fit."""
    x, causal = draw(T, T, F), np.tril(np.ones((T, T), "bool"))
    layer = getattr(layers, name)(H, 4)
    with pytest.raises(ValueError, match="`attention_mask` must be a key mask"):
        layer(x, x, attention_mask=causal)


ADDED = np.where(MASK, 0.0, -1e9).astype("float32")


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize(
    ("name", "mask"),
    [
        ("value_mask", ADDED),
        ("key_mask", ADDED.astype("float64")),
        ("key_mask", 3 * MASK.astype("int32")),
        ("attention_mask", ADDED[:, None]),
        ("attention_mask", np.where(MASK, 0.0, np.nan)[:, None]),
        ("query_mask", np.full((B, T), -np.inf)),
    ],
)
def test_a_mask_that_is_added_to_scores_is_refused(name, mask, dtype):
    with pytest.raises(ValueError, match=f"`{name}` must be boolean, or 1 at"):
        attention(dtype=dtype)(*draw_inputs(), **{name: mask})


def test_the_values_of_a_symbol_and_of_a_traced_mask_are_not_known():
    x, mask = draw(B, T, F), draw_mask(T).astype("float32")
    layer = attention()
    inputs = keras.Input((T, F)), keras.Input((T,))
    outputs = layer(inputs[0], inputs[0], value_mask=inputs[1])
    model = keras.Model(inputs, outputs)
    expected = numpy(layer(x, x, value_mask=mask))
    assert_close(model.predict([x, mask], verbose=0), expected)


@pytest.mark.parametrize("kind", ["padding", "attention"])
def test_a_mask_of_a_block_that_is_added_to_scores_is_refused(kind):
    added = np.where(draw_mask(T), 0.0, -1e9)
    masks = (added, None) if kind == "padding" else (None, added[:, None])
    with pytest.raises(ValueError, match=f"`decoder_{kind}_mask` must be boolean"):
        attention_masks.block_key_mask("decoder_", *masks)
