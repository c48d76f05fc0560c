"""A full disk while a training saves: an error says so, and all before it is whole."""

import keras
import numpy as np
import pytest
from full_disk import full_disk
from small_language_model import (
    SETTINGS,
    batches_from,
    small_model,
    state,
)

from keras_performer.training import RunFolder, train_steps
from keras_performer.training.checkpoints.best_weights import BestWeights
from keras_performer.training.checkpoints.checkpoint import Checkpoint

MESSAGE = "could not be written: .*Nothing is lost.*Make room.*run the same training"


@pytest.fixture
def model():
    """A model whose files are larger than the disk of these tests."""
    model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(64)])
    model.compile("adam", "mse", jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    return model


def all_files(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("largest", [0, 10, 5_000])
@pytest.mark.parametrize(
    "save",
    [
        lambda model, folder: Checkpoint(folder).save(model, 2),
        lambda model, folder: BestWeights(folder / "best.weights.h5").keep(
            model, 1.0, step=2
        ),
        lambda model, folder: RunFolder(folder).save_model(model),
    ],
    ids=["checkpoint", "best weights", "model"],
)
def test_what_was_saved_before_stays_whole(model, tmp_path, save, largest):
    Checkpoint(tmp_path).save(model, 1)
    BestWeights(tmp_path / "best.weights.h5").keep(model, 2.0, step=1)
    RunFolder(tmp_path).save_model(model)
    before = all_files(tmp_path)
    with full_disk(largest), pytest.raises(OSError, match=MESSAGE):
        save(model, tmp_path)
    assert all_files(tmp_path) == before
    model.layers[0].bias.assign_add([1.0] * 64)
    save(model, tmp_path)
    assert all_files(tmp_path) != before


@pytest.mark.slow
def test_a_training_goes_on_when_there_is_room_again(tmp_path):
    whole = small_model()
    history = train_steps(whole, batches_from, folder=tmp_path / "whole", **SETTINGS)
    model, run = small_model(), tmp_path / "run"
    train_steps(model, batches_from, folder=run, **SETTINGS | {"num_steps": 4})
    with full_disk(1_000), pytest.raises(OSError, match=r"after_8\.npz could not"):
        train_steps(model, batches_from, folder=run, **SETTINGS)
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["after_4.npz"]
    model = small_model(seed=5)
    assert train_steps(model, batches_from, folder=run, **SETTINGS) == history
    for ours, theirs in zip(state(model), state(whole), strict=True):
        np.testing.assert_array_equal(ours, theirs)
