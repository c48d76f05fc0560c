"""`MaskedAveragePooling`: the mean of what counts, and zeros where nothing does."""

import keras
import numpy as np
import pytest
from layer_inputs import B, T, draw, draw_mask, numpy
from tolerances import EXACT, assert_close

from keras_performer.layers import MaskedAveragePooling

F = 5


def test_the_mean_of_what_counts():
    x, mask = draw(B, T, F), draw_mask(T)
    output = numpy(MaskedAveragePooling()(x, mask=mask))
    expected = [x[i, mask[i]].astype("float64").mean(axis=0) for i in range(B)]
    assert_close(output, expected)


def test_without_a_mask_all_counts():
    x = draw(B, T, F)
    assert_close(numpy(MaskedAveragePooling()(x)), x.mean(axis=1))


@pytest.mark.parametrize("dtype", ["bool", "int32", "float32"])
def test_masks_of_any_dtype(dtype):
    x, mask = draw(B, T, F), draw_mask(T)
    expected = numpy(MaskedAveragePooling()(x, mask=mask))
    assert np.array_equal(
        numpy(MaskedAveragePooling()(x, mask=mask.astype(dtype))), expected
    )


@pytest.mark.parametrize(
    "shape", [(B, T - 1), (B, 1), (B, T, 1), (T,), (B + 1, T), (1, T - 1)], ids=str
)
@pytest.mark.parametrize("symbolic", [False, True])
def test_a_mask_of_another_shape_is_refused(shape, symbolic):
    x, mask = draw(B, T, F), np.ones(shape, "bool")
    if symbolic:
        x, mask = keras.KerasTensor(x.shape), keras.KerasTensor(shape, dtype="bool")
    with pytest.raises(ValueError, match="`mask` must have the shape of `inputs`"):
        MaskedAveragePooling()(x, mask=mask)


def test_one_mask_for_the_whole_batch():
    x, mask = draw(B, T, F), draw_mask(T)[:1]
    expected = MaskedAveragePooling()(x, mask=np.repeat(mask, B, axis=0))
    assert_close(numpy(MaskedAveragePooling()(x, mask=mask)), numpy(expected))


def test_inputs_of_another_rank_and_masks_that_are_added_are_refused():
    with pytest.raises(ValueError, match="`inputs` must have the shape"):
        MaskedAveragePooling()(draw(T, F))
    with pytest.raises(ValueError, match="`mask` must be boolean, or 1 at"):
        MaskedAveragePooling()(draw(B, T, F), mask=np.where(draw_mask(T), 0, -1e9))


@pytest.mark.parametrize("content", [1e30, np.inf, np.nan])
def test_what_is_masked_has_no_influence(content):
    x, mask = draw(B, T, F), draw_mask(T)
    expected = numpy(MaskedAveragePooling()(x, mask=mask))
    x[~mask] = content
    assert np.array_equal(numpy(MaskedAveragePooling()(x, mask=mask)), expected)


def test_where_nothing_counts_there_are_zeros():
    x, mask = draw(B, T, F), draw_mask(T)
    mask[1] = False
    output = numpy(MaskedAveragePooling()(x, mask=mask))
    assert np.all(output[1] == 0)
    assert np.all(output[0] != 0)
    assert np.all(numpy(MaskedAveragePooling()(draw(B, 0, F))) == 0)


def test_the_keras_mask_counts_and_ends_here():
    ids = np.array([[3, 0, 1, 0], [0, 0, 0, 0]])
    embedding = keras.layers.Embedding(5, F, mask_zero=True)
    output = MaskedAveragePooling()(embedding(ids))
    embeddings = numpy(embedding.embeddings)
    assert_close(numpy(output), [(embeddings[3] + embeddings[1]) / 2, np.zeros(F)])
    assert getattr(output, "_keras_mask", None) is None


def test_a_book_in_half_precision():
    # The sum leaves float16's range, and the count too.
    x = np.full((1, 100_001, 3), 2.5, "float32")
    x[:, ::2] = 1.5
    mask = np.ones((1, 100_001), "bool")
    mask[:, -1] = False
    output = MaskedAveragePooling(dtype="mixed_float16")(x, mask=mask)
    assert keras.backend.standardize_dtype(output.dtype) == "float16"
    assert np.allclose(numpy(output), 2.0, atol=1e-3)


def test_float64():
    x = draw(B, T, F, dtype="float64")
    output = numpy(MaskedAveragePooling(dtype="float64")(x))
    assert_close(output, x.mean(axis=1), EXACT)


def test_shapes_and_round_trip():
    layer = MaskedAveragePooling(name="pooling", dtype="mixed_bfloat16")
    output = layer(keras.KerasTensor((None, None, F)))
    assert output.shape == (None, F)
    restored = MaskedAveragePooling.from_config(layer.get_config())
    assert restored.get_config() == layer.get_config()
