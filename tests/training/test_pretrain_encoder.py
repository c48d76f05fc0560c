"""Pretraining end to end: it learns what is masked, resumes exactly and keeps."""

import dataclasses
import json
import sys

import numpy as np
import pytest
import tensorflow as tf
from killed import run_killed
from small_classifier import SMALL
from small_pretraining import SMALL_PRETRAINING

from keras_performer.text import TokenMasking
from keras_performer.training import (
    ClassifierSettings,
    PretrainingSettings,
    RunFolder,
    pretrain_encoder,
)
from keras_performer.training.run_folder import fingerprint
from keras_performer.training.training_documents import hold_out


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Documents of which each byte is told by those beside it."""
    folder = tmp_path_factory.mktemp("data")
    for half, length in (("train", 1024), ("test", 512)):
        for label, letters in (("up", "abcdefgh"), ("down", "hgfedcba")):
            (folder / half / label).mkdir(parents=True)
            for index in range(12):
                text = (letters * 200)[index : index + length]
                (folder / half / label / f"{index}.txt").write_text(text)
    return folder


@pytest.fixture(scope="module")
def settings(data):
    return PretrainingSettings(data=str(data), **SMALL_PRETRAINING)


@pytest.fixture(scope="module")
def complete(settings, tmp_path_factory):
    """The run folder of an uninterrupted pretraining."""
    path = tmp_path_factory.mktemp("runs") / "complete"
    pretrain_encoder(settings, path, verbose=0)
    return RunFolder(path, PretrainingSettings)


def test_what_a_complete_run_leaves(complete, settings):
    files = sorted(path.name for path in complete.path.iterdir())
    assert files == [
        "best.json",
        "best.weights.h5",
        "checkpoints",
        "documents.json",
        "evaluation.json",
        "history.csv",
        "labels.json",
        "model.keras",
        "settings.json",
    ]
    assert complete.settings() == settings
    history = complete.history()
    assert [row["epoch"] for row in history] == [0, 1, 2]
    best = json.loads((complete.path / "best.json").read_text())
    assert best["loss"] == pytest.approx(min(row["val_loss"] for row in history))


def test_it_learns_and_is_measured(complete):
    measured = json.loads(complete.evaluation_path.read_text())
    assert measured["unigram_perplexity"] == pytest.approx(8, rel=0.2)
    assert measured["perplexity"] < measured["unigram_perplexity"] / 2
    assert measured["accuracy"] > 2 * measured["unigram_accuracy"]
    last = complete.history()[-1]
    assert last["val_accuracy"] == pytest.approx(measured["accuracy"], abs=0.05)


def test_documents_are_those_that_a_classifier_trains_on(complete, settings, data):
    of_classifier = ClassifierSettings(data=str(data), **SMALL).find_train_test()[0]
    assert settings.find_train_test()[0] == of_classifier
    kept, _ = hold_out(settings, of_classifier)
    assert json.loads(complete.documents_path.read_text()) == fingerprint(kept)
    assert (len(of_classifier), len(kept)) == (24, 22)


def test_the_mask_is_an_id_behind_those_of_the_tokenizer(complete):
    assert complete.tokenizer().vocabulary_size == 257
    assert complete.model().backbone.vocabulary_size == 258


def test_positions_are_those_that_are_masked(settings):
    ids = np.random.default_rng(0).integers(1, 9, (5, 64)).astype("int32")
    ids[2, 10:] = 0  # a short row
    module = sys.modules["keras_performer.training.pretrain_encoder"]
    step = tf.constant(7, tf.int64)
    inputs, targets, weights = module._Masking(257, settings)(step, (ids, "labels"))
    positions = inputs["mask_positions"].numpy()
    assert positions.shape == (5, 10)  # 0.15 of 64
    hidden, _, is_chosen = TokenMasking(258, 257, 0.15, seed=0)(step, ids)
    np.testing.assert_array_equal(inputs["token_ids"], hidden)
    assert weights.numpy().sum() == is_chosen.numpy().sum() == 4 * 10 + 2
    for row in range(5):
        chosen = positions[row][weights[row] == 1]
        assert set(chosen) == set(np.flatnonzero(is_chosen[row]))
        np.testing.assert_array_equal(targets[row], ids[row, positions[row]])


STEPS = 23  # of an epoch


@pytest.mark.slow
@pytest.mark.parametrize(
    ("owner", "name", "when"),
    [
        ("Callbacks", "on_train_batch_end", STEPS + 7),  # within the second epoch
        ("Callbacks", "on_train_batch_end", 3),  # before any checkpoint
        ("Callbacks", "on_train_end", 1),  # when all is done but the model
    ],
)
def test_a_killed_pretraining_resumes_to_the_same_weights(
    complete, settings, tmp_path, owner, name, when
):
    assert complete.history()[0]["step"] == STEPS
    path = tmp_path / "run"
    run_killed("small_pretraining.py", [settings.data, path, 4], owner, name, when)
    assert not RunFolder(path).model_path.exists()
    pretrain_encoder(settings, path, verbose=0)
    resumed = RunFolder(path, PretrainingSettings)
    for ours, theirs in zip(
        resumed.model().weights, complete.model().weights, strict=True
    ):
        np.testing.assert_array_equal(ours, theirs, err_msg=ours.path)
    assert resumed.history_path.read_text() == complete.history_path.read_text()
    assert resumed.evaluation_path.read_text() == complete.evaluation_path.read_text()


def test_a_complete_run_is_not_trained_again(complete, settings, monkeypatch):
    module = sys.modules["keras_performer.training.pretrain_encoder"]
    monkeypatch.setattr(module, "train_encoder", None)
    model = pretrain_encoder(settings, complete.path, verbose=0)
    for ours, theirs in zip(model.weights, complete.model().weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    other = dataclasses.replace(settings, masking_rate=0.5)
    with pytest.raises(ValueError, match=r"masking_rate: 0.15 there, 0.5 now"):
        pretrain_encoder(other, complete.path, verbose=0)


@pytest.mark.slow
def test_texts_without_labels_and_without_validation(tmp_path):
    """Word pieces too; and more epochs go on with a complete run."""
    (tmp_path / "texts" / "deeper").mkdir(parents=True)
    for index in range(6):
        folder = tmp_path / "texts" / ("deeper" if index % 2 else "")
        (folder / f"{index}.txt").write_text("a ship in a storm of the sea " * 40)
    small = SMALL_PRETRAINING | {"tokenizer": "wordpiece", "vocabulary_size": 60}
    small |= {"epochs": 1, "validation_fraction": 0.0, "problem": "unlabelled"}
    settings = PretrainingSettings(data=str(tmp_path / "texts"), **small)
    pretrain_encoder(settings, tmp_path / "run", verbose=0)
    run = RunFolder(tmp_path / "run", PretrainingSettings)
    assert set(run.history()[0]) == {"step", "epoch", "accuracy", "loss"}
    assert not run.evaluation_path.exists()
    more = dataclasses.replace(settings, epochs=2)
    pretrain_encoder(more, tmp_path / "run", verbose=0)
    assert [row["epoch"] for row in run.history()] == [0, 1]
    assert run.model_path.exists()


@pytest.mark.parametrize("rate", [0, 1, -0.1])
def test_a_masking_rate_out_of_range_is_refused(rate):
    with pytest.raises(ValueError, match="masking_rate"):
        PretrainingSettings(data="d", masking_rate=rate)
