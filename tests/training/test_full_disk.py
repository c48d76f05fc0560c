"""A full disk while a training saves: an error says so, and all before it is whole."""

import errno
import os

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
from keras_performer.training.checkpoints.atomic_write import (
    atomic_write,
    atomic_write_text,
)
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


def test_the_error_is_that_of_the_system(tmp_path):
    path = tmp_path / "text"
    atomic_write_text(path, "before")
    with (
        pytest.raises(OSError, match=f"{path} could not") as caught,
        atomic_write(path),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert caught.value.errno == errno.ENOSPC
    assert path.read_text() == "before"
    # What is no matter of the disk passes, and leaves the file alone as well.
    with pytest.raises(ZeroDivisionError), atomic_write(path) as temporary:
        temporary.write_text("half")
        1 / 0  # noqa: B018
    assert path.read_text() == "before"


def test_damaged_checkpoints_are_named_and_the_one_before_is_there(tmp_path):
    model = small_model()
    train_steps(model, batches_from, folder=tmp_path, **SETTINGS)
    after_8, after_10 = sorted(
        (tmp_path / "checkpoints").iterdir(), key=lambda p: len(p.name)
    )
    whole = after_10.read_bytes()
    rng = np.random.default_rng(0)
    damaged = [b"", whole[:100], whole[:-1], whole[: len(whole) // 2], b"\0" * 5000]
    for place in rng.integers(0, len(whole), 30):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << rng.integers(8)
        damaged.append(bytes(flipped))
    other, refused = small_model(seed=5), 0
    before = state(other)
    for content in damaged:
        after_10.write_bytes(content)
        try:
            Checkpoint(tmp_path / "checkpoints").restore(other)
        except ValueError as error:
            refused += 1
            assert str(after_10) in str(error)
            assert "Remove this file" in str(error) and "goes on after 8" in str(error)
            for ours, theirs in zip(state(other), before, strict=False):
                np.testing.assert_array_equal(ours, theirs)
        else:
            # Nothing but the archive's dates and the like: all numbers are right.
            for ours, theirs in zip(state(other), state(model), strict=True):
                np.testing.assert_array_equal(ours, theirs)
            for variable, array in zip(
                [*other.variables, *other.optimizer.variables], before, strict=False
            ):
                variable.assign(array)
    assert refused > len(damaged) // 2
    after_10.unlink()
    assert Checkpoint(tmp_path / "checkpoints").restore(other) == 8
    after_8.write_bytes(b"")
    with pytest.raises(ValueError, match="after_8.npz is damaged.*begins anew"):
        train_steps(other, batches_from, folder=tmp_path, **SETTINGS)


def test_checkpoints_of_other_models_are_named(model, tmp_path):
    Checkpoint(tmp_path).save(model, 3)
    wider = keras.Sequential([keras.Input((64,)), keras.layers.Dense(65)])
    deeper = keras.Sequential([*model.layers, keras.layers.Dense(64)])
    for other, message in (
        (wider, r".*/kernel has the shape \(64, 64\) there and \(64, 65\)"),
        (deeper, "it has 8 variables and not 14"),
    ):
        other.compile("adam", "mse")
        other.build((None, 64))
        with pytest.raises(ValueError, match=f"another model or .*: {message}"):
            Checkpoint(tmp_path).restore(other)


@pytest.mark.parametrize("content", [b"", b"damaged", None], ids=["", "text", "half"])
def test_damaged_weights_models_and_records_are_named(model, tmp_path, content):
    def damage(path):
        path.write_bytes(path.read_bytes()[:5000] if content is None else content)

    best = BestWeights(tmp_path / "best.weights.h5")
    best.keep(model, 1.0, step=2)
    damage(best.path)
    with pytest.raises(ValueError, match="best.weights.h5 is damaged.*checkpoint"):
        best.load(model)
    best.record_path.write_bytes(b'{"loss": ' if content is None else content)
    with pytest.raises(ValueError, match="best.json is damaged.*Remove it"):
        best.load(model)
    folder = RunFolder(tmp_path)
    folder.settings_path.write_text('{"data": "d"}')
    folder.save_model(model)
    damage(folder.model_path)
    with pytest.raises(ValueError, match="model.keras is damaged.*train anew"):
        folder.model()


def test_damaged_histories_are_named(tmp_path):
    for content in ("epoch,loss\n1,2\n", "step,loss\nx,2\n", "step,loss\n1,2,3\n"):
        (tmp_path / "history.csv").write_text(content)
        with pytest.raises(ValueError, match="history.csv is damaged, or not"):
            train_steps(small_model(), batches_from, folder=tmp_path, **SETTINGS)
