"""The best weights: what is the lowest loss, and files that are damaged."""

import keras
import pytest

from keras_performer.training import RunFolder
from keras_performer.training.checkpoints import BestWeights


@pytest.fixture
def model():
    model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(64)])
    model.compile("adam", "mse", jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    return model


def test_losses_that_are_no_numbers_are_not_the_best(tmp_path):
    best = BestWeights(tmp_path / "best.weights.h5")
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    for epoch, loss in enumerate([float("nan"), float("inf")]):
        best.keep(model, loss, epoch=epoch)
    assert not best.path.exists()
    with pytest.raises(ValueError, match="diverged"):
        best.load(model)
    best.keep(model, 1.0, epoch=2)
    best.keep(model, float("nan"), epoch=3)
    assert best.best() == {"loss": 1.0, "epoch": 2}


def test_the_highest_score_is_the_best_and_of_equal_ones_the_lowest_loss(tmp_path):
    best = BestWeights(tmp_path / "best.weights.h5")
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    nan = float("nan")
    measured = [(1.0, -3.0), (2.0, 0.5), (0.1, 0.4), (1.5, 0.5), (1.6, 0.5), (nan, 0.9)]
    for epoch, (loss, score) in enumerate(measured):
        best.keep(model, loss, score, epoch=epoch)
        if not epoch:
            assert best.best()["score"] == -3.0
    assert best.best() == {"loss": 1.5, "score": 0.5, "epoch": 3}


@pytest.mark.parametrize("content", [b"", b"damaged", None], ids=["", "text", "half"])
def test_damaged_weights_models_and_records_are_named(model, tmp_path, content):
    def damage(path):
        path.write_bytes(path.read_bytes()[:5000] if content is None else content)

    best = BestWeights(tmp_path / "best.weights.h5")
    best.keep(model, 1.0, step=2)
    damage(best.path)
    with pytest.raises(ValueError, match=r"best.weights.h5 is damaged.*checkpoint"):
        best.load(model)
    best.record_path.write_bytes(b'{"loss": ' if content is None else content)
    with pytest.raises(ValueError, match=r"best.json is damaged.*Remove it"):
        best.load(model)
    folder = RunFolder(tmp_path)
    folder.settings_path.write_text('{"data": "d"}')
    folder.save_model(model)
    damage(folder.model_path)
    with pytest.raises(ValueError, match=r"model.keras is damaged.*train again"):
        folder.model()
