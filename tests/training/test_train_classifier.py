"""Training end to end on a small corpus: it learns, resumes exactly and keeps."""

import dataclasses
import json

import keras
import numpy as np
import pytest
from killed import run_killed
from small_classifier import SMALL
from small_corpus import write_corpus

from keras_performer.text import find_train_test, train_test_split
from keras_performer.training import (
    ClassifierSettings,
    RunFolder,
    evaluate_classifier,
    train_classifier,
)
from keras_performer.training.checkpoints.checkpoint import Checkpoint


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def settings(corpus):
    return ClassifierSettings(data=str(corpus), **SMALL)


@pytest.fixture(scope="module")
def complete(settings, tmp_path_factory):
    """The run folder of an uninterrupted training."""
    path = tmp_path_factory.mktemp("runs") / "complete"
    train_classifier(settings, path, verbose=0)
    return RunFolder(path)


def test_what_a_complete_run_leaves(complete, settings):
    files = sorted(path.name for path in complete.path.iterdir())
    assert files == [
        "best.json",
        "best.weights.h5",
        "documents.json",
        "history.csv",
        "labels.json",
        "model.keras",
        "settings.json",
    ]
    assert complete.settings() == settings
    assert complete.labels() == ("farm", "sea")
    history = complete.history()
    assert [row["epoch"] for row in history] == [0, 1, 2]
    best = json.loads((complete.path / "best.json").read_text())
    assert best["loss"] == pytest.approx(min(row["val_loss"] for row in history))
    assert history[int(best["epoch"])]["val_loss"] == pytest.approx(best["loss"])


def test_the_model_learns_and_is_measured(complete, settings):
    _, test = find_train_test(settings.data)
    measured = evaluate_classifier(
        complete.model(), complete.tokenizer(), test, 128, 1024
    )
    assert measured.num_documents == 24
    assert measured.num_windows > 2 * measured.num_documents
    assert measured.documents >= 0.9
    assert measured.whole >= 0.9


SLOW = pytest.mark.slow


STEPS = 17  # of an epoch


# 4 steps lie between two checkpoints, or an epoch's end.
@pytest.mark.parametrize(
    ("owner", "name", "when", "latest_step"),
    [
        # Within the second epoch.
        ("Callbacks", "on_train_batch_end", STEPS + 7, STEPS + 4),
        # Before any checkpoint; while one is written; before the second epoch's
        # validation; before the row of the last; when all is done but the model.
        pytest.param("Callbacks", "on_train_batch_end", 3, 0, marks=SLOW),
        pytest.param("os", "replace", 6, 8, marks=SLOW),
        pytest.param("Callbacks", "on_test_begin", 2, STEPS + 16, marks=SLOW),
        pytest.param("Callbacks", "on_epoch_end", 3, 2 * STEPS + 16, marks=SLOW),
        pytest.param("Callbacks", "on_train_end", 1, 3 * STEPS, marks=SLOW),
    ],
)
def test_a_killed_training_resumes_to_the_same_weights(
    complete, settings, tmp_path, owner, name, when, latest_step
):
    assert complete.history()[0]["step"] == STEPS
    path = tmp_path / "run"
    run_killed("small_classifier.py", [settings.data, path, 4], owner, name, when)
    assert Checkpoint(path / "checkpoints").latest_step() == latest_step
    assert not RunFolder(path).model_path.exists()

    train_classifier(settings, path, verbose=0)
    resumed = RunFolder(path)
    for ours, theirs in zip(
        resumed.model().weights, complete.model().weights, strict=True
    ):
        np.testing.assert_array_equal(ours, theirs, err_msg=ours.path)
    # Means over an epoch, half of which was before the kill, too.
    assert resumed.history() == complete.history()
    assert resumed.history_path.read_text() == complete.history_path.read_text()
    best = [(run.path / "best.json").read_text() for run in (resumed, complete)]
    assert best[0] == best[1]


def test_an_incomplete_run_of_an_older_version_is_refused(settings, tmp_path):
    documents, _ = train_test_split(find_train_test(settings.data)[0], 0.1)
    RunFolder(tmp_path).open(settings, documents)
    (tmp_path / "backup").mkdir()
    with pytest.raises(ValueError, match=r"older version.*Choose another folder"):
        train_classifier(settings, tmp_path, verbose=0)


@pytest.mark.slow
def test_another_seed_gives_another_model(complete, settings, tmp_path):
    other = dataclasses.replace(settings, seed=1, epochs=1)
    model = train_classifier(other, tmp_path / "run", verbose=0)
    embedding = model.backbone.get_layer("token_embedding").embeddings
    theirs = complete.model().backbone.get_layer("token_embedding").embeddings
    assert np.abs(embedding - theirs).max() > 0


def test_word_pieces_relu_and_no_validation(corpus, tmp_path):
    settings = ClassifierSettings(
        data=str(corpus),
        **{
            **SMALL,
            "tokenizer": "wordpiece",
            "vocabulary_size": 200,
            "feature_map": "relu",
            "num_features": None,
            "validation_fraction": 0.0,
            "epochs": 1,
        },
    )
    train_classifier(settings, tmp_path / "run", verbose=0)
    folder = RunFolder(tmp_path / "run")
    assert folder.tokenizer().vocabulary_size <= 200
    assert set(folder.history()[0]) == {"step", "epoch", "accuracy", "loss"}


def test_a_complete_run_is_not_trained_again(complete, settings, monkeypatch):
    monkeypatch.setattr(keras.Model, "fit", None)
    model = train_classifier(settings, complete.path, verbose=0)
    for ours, theirs in zip(model.weights, complete.model().weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_other_settings_do_not_go_on(complete, settings):
    other = dataclasses.replace(settings, epochs=99)
    with pytest.raises(ValueError, match="epochs: 3 there, 99 now"):
        train_classifier(other, complete.path, verbose=0)


def test_a_folder_of_something_else_is_left_alone(settings, tmp_path):
    (tmp_path / "thesis.tex").write_text("chapter 1")
    with pytest.raises(ValueError, match="something else"):
        train_classifier(settings, tmp_path, verbose=0)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    "change",
    [
        {"feature_map": "sofmax"},
        {"feature_map": "relu"},  # with `num_features`
        {"data": "/no/such/folder"},
    ],
    ids=str,
)
def test_a_mistake_leaves_no_run_folder(settings, tmp_path, change):
    with pytest.raises(ValueError):
        train_classifier(
            dataclasses.replace(settings, **change), tmp_path / "run", verbose=0
        )
    assert not (tmp_path / "run").exists()


def test_a_class_of_one_document_leaves_none_to_validate_on(tmp_path):
    data = write_corpus(tmp_path / "data", files=1)
    settings = ClassifierSettings(data=str(data), **SMALL)
    with pytest.raises(ValueError, match="validation_fraction"):
        train_classifier(settings, tmp_path / "run", verbose=0)


@pytest.mark.slow
def test_the_global_seed_does_not_matter(complete, settings, tmp_path):
    keras.utils.set_random_seed(12345)
    model = train_classifier(settings, tmp_path / "run", verbose=0)
    for ours, theirs in zip(model.weights, complete.model().weights, strict=True):
        np.testing.assert_array_equal(ours, theirs, err_msg=ours.path)
