"""Checkpoints that are damaged, or of another model."""

import keras
import numpy as np
import pytest
from small_language_model import SETTINGS, batches_from, small_model, state

from keras_performer.training import train_steps
from keras_performer.training.checkpoints import Checkpoint


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
    with pytest.raises(ValueError, match=r"after_8.npz is damaged.*begins anew"):
        train_steps(other, batches_from, folder=tmp_path, **SETTINGS)


def test_checkpoints_of_other_models_are_named(tmp_path):
    model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(64)])
    model.compile("adam", "mse", jit_compile=False)
    model.optimizer.build(model.trainable_variables)
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
