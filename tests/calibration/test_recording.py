"""What is recorded of the attention layers of a model."""

import keras
import numpy as np
import pytest
from gradients import to_numpy
from small_model import F, batches, small_model
from tolerances import assert_close

from keras_performer.calibration import recorded


def test_a_recording_is_what_the_layer_projects():
    model, data = small_model(causal=True), batches()
    layers = [x for x in model.layers if "attention" in x.name]
    for batch, recordings in zip(data, recorded(model, data), strict=True):
        assert [each.layer for each in recordings] == layers
        first, second = recordings
        assert_close(to_numpy(first.query), to_numpy(layers[0].query_dense(batch)))
        assert_close(to_numpy(first.key), to_numpy(layers[0].key_dense(batch)))
        assert (first.causal, second.causal) == (True, False)
        assert first.query_mask is None and first.key_mask is None


def test_masks_are_recorded():
    [batch] = batches(1)
    batch[1, 5:] = 0
    [[first, _]] = recorded(small_model(mask=True), [batch])
    expected = np.any(batch != 0, axis=-1)
    assert np.array_equal(to_numpy(first.query_mask), expected)
    assert np.array_equal(to_numpy(first.key_mask), expected)


def test_labels_beside_the_inputs_are_left_alone():
    [batch] = batches(1)
    [[first, _]] = recorded(small_model(), [(batch, np.zeros(2))])
    assert tuple(first.query.shape[:2]) == batch.shape[:2]


def test_half_precision_is_recorded_wide():
    [[first, _]] = recorded(small_model(dtype="mixed_bfloat16"), batches(1))
    assert keras.backend.standardize_dtype(first.query.dtype) == "float32"


def test_nothing_is_recorded_afterwards():
    model, data = small_model(), batches(1)
    [recordings] = recorded(model, data)
    model(data[0])
    assert len(recordings) == 2
    with pytest.raises(ValueError, match="shape"):
        list(recorded(model, [np.zeros((2, 3, F + 1), "float32")]))
    model(data[0])
    assert all(
        layer.probe is None for layer in model.layers[1:] if hasattr(layer, "probe")
    )


def test_a_model_without_attention_is_refused():
    inputs = keras.Input((F,))
    model = keras.Model(inputs, keras.layers.Dense(3)(inputs), name="plain")
    with pytest.raises(ValueError, match="'plain' has no `FastAttention`"):
        list(recorded(model, [np.zeros((2, F), "float32")]))


def test_no_data_is_refused():
    with pytest.raises(ValueError, match="no batch"):
        list(recorded(small_model(), []))
