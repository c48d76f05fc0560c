"""Old names go on: public ones with a warning, those in files without."""

import keras
import numpy as np
import pytest

from keras_performer import layers, models

IDS = np.array([[3, 4, 5, 0], [1, 2, 3, 4]])


@pytest.mark.parametrize(
    ("package", "old", "new"),
    [
        (layers, "SinusoidalPositions", "SinePositionEncoding"),
        (models, "DocumentClassifier", "PerformerTextClassifier"),
        (models, "DocumentEmbedder", "PerformerTextEmbedder"),
    ],
)
def test_an_old_public_name_warns(package, old, new):
    with pytest.warns(DeprecationWarning, match=rf"{old}` is now called .*\.{new}`"):
        assert getattr(package, old) is getattr(package, new)


def test_a_model_inside_of_another_is_loaded_by_its_old_name(tmp_path):
    # In a file the weights of an inner model stand under the name of its class.
    old = keras.saving.get_registered_object("keras_performer>DocumentClassifier")
    inputs = keras.Input((None,), dtype="int32")
    backbone = models.PerformerBackbone(20, 1, 2, 8, 16, seed=0)
    model = keras.Model(inputs, old(backbone, 3, seed=0)(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert isinstance(loaded.layers[1], models.PerformerTextClassifier)
    assert type(loaded.layers[1]).__name__ == "DocumentClassifier"
    np.testing.assert_array_equal(loaded(IDS), model(IDS))
