"""`SinePositionEncoding`: embeddings of any length, in float32 whatever the policy."""

import keras
import numpy as np
import pytest
from layer_inputs import B, draw, numpy

from keras_performer.layers import PositionEmbedding, SinePositionEncoding


def table(length, features, max_wavelength=10000, start=0):
    """Position by position, feature by feature, in float64."""
    half = features // 2
    rows = np.zeros((length, features))
    for t in range(length):
        for i in range(half):
            angle = (start + t) / max_wavelength ** (2 * i / features)
            rows[t, i], rows[t, half + i] = np.sin(angle), np.cos(angle)
    return rows


@pytest.mark.parametrize("max_wavelength", [1, 100, 10000])
@pytest.mark.parametrize(("length", "features"), [(1, 2), (37, 10), (0, 4)])
def test_the_formula(length, features, max_wavelength):
    x = draw(B, length, features)
    output = numpy(SinePositionEncoding(max_wavelength)(x))
    expected = x + table(length, features, max_wavelength)
    assert np.allclose(output, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("start_index", [0, 5, np.int32(1000)])
def test_a_sequence_may_start_later(start_index):
    x = np.zeros((1, 7, 10), "float32")
    output = numpy(SinePositionEncoding()(x, start_index=start_index))
    assert np.allclose(output[0], table(7, 10, start=int(start_index)), atol=1e-4)


def test_the_scale():
    x = draw(B, 7, 10)
    output = numpy(SinePositionEncoding(100, scale=0.02)(x))
    assert np.allclose(output, x + 0.02 * table(7, 10, 100), rtol=0, atol=1e-6)


def test_parts_continue_each_other():
    layer = SinePositionEncoding()
    x = draw(B, 20, 6)
    whole = numpy(layer(x))
    parts = [numpy(layer(x[:, :8])), numpy(layer(x[:, 8:], start_index=8))]
    assert np.array_equal(np.concatenate(parts, axis=1), whole)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_late_positions_differ_in_half_precision(policy):
    # Counted in a half type, these neighbours would be one position.
    x = np.zeros((1, 70_000, 2), "float32")
    output = SinePositionEncoding(1, dtype=policy)(x)
    assert keras.backend.standardize_dtype(output.dtype) == policy.split("_")[1]
    late = numpy(output)[0, -5:]
    assert np.allclose(late[:, 0], np.sin(np.arange(69_995, 70_000)), atol=0.02)


def test_any_length_in_one_model():
    inputs = keras.Input((None, 6))
    model = keras.Model(inputs, SinePositionEncoding()(inputs))
    assert model.output_shape == (None, None, 6)
    for length in (3, 1000):
        output = model.predict(np.zeros((1, length, 6)), verbose=0)
        assert np.allclose(output[0], table(length, 6), atol=1e-3)


def test_the_mask_passes_on():
    x = keras.layers.Embedding(5, 6, mask_zero=True)(np.array([[3, 0, 1]]))
    mask = SinePositionEncoding()(x)._keras_mask
    assert numpy(mask).tolist() == [[True, False, True]]


def test_round_trip():
    arguments = {"max_wavelength": 123, "scale": 0.25}
    layer = SinePositionEncoding(**arguments, name="positions", dtype="mixed_bfloat16")
    restored = SinePositionEncoding.from_config(layer.get_config())
    assert restored.get_config() == layer.get_config()
    for name, value in arguments.items():
        assert getattr(restored, name) == value


@pytest.mark.parametrize("max_wavelength", [0, 0.5, -3])
def test_the_wavelength_is_checked(max_wavelength):
    with pytest.raises(ValueError, match=f"max_wavelength={max_wavelength}"):
        SinePositionEncoding(max_wavelength)


def test_an_odd_feature_size_is_refused():
    with pytest.raises(ValueError, match=r"must be even.*\(2, 3, 5\)"):
        SinePositionEncoding()(draw(2, 3, 5))


def test_padding_takes_no_position():
    x = np.zeros((2, 7, 10), "float32")
    mask = np.array([[0, 0, 0, 1, 1, 1, 1], [1, 1, 0, 0, 1, 1, 0]], "bool")
    output = numpy(SinePositionEncoding()(x, mask=mask))
    for row, kept in zip(output, mask, strict=True):
        assert np.allclose(row[kept], table(4, 10), atol=1e-5)
    # Each row from a position of its own.
    output = numpy(SinePositionEncoding()(x, mask=mask, start_index=np.array([5, 9])))
    for row, kept, start in zip(output, mask, (5, 9), strict=True):
        assert np.allclose(row[kept], table(4, 10, start=start), atol=1e-5)


@pytest.mark.parametrize("layer", [SinePositionEncoding(), PositionEmbedding(9)])
def test_masks_that_are_added_and_ids_that_are_rounded_are_refused(layer):
    x, added = np.zeros((2, 3, 4), "float32"), np.array([[0, -1e9, 0]] * 2)
    with pytest.raises(ValueError, match="`mask` must be boolean, or 1 at"):
        layer(x, mask=added)
    with pytest.raises(ValueError, match="`mask` must have the shape"):
        layer(x, mask=np.ones((2, 4), "bool"))
    with pytest.raises(ValueError, match="`segment_ids` must be of integers"):
        layer(x, segment_ids=np.ones((2, 3), "float32"))
