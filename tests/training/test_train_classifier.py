"""Training end to end on a small corpus: it learns, resumes exactly and keeps."""

import contextlib
import dataclasses
import gzip
import json
import pathlib
import shutil
import sys

import keras
import numpy as np
import pytest
from killed import run_killed
from small_classifier import SMALL
from small_corpus import write_corpus

from keras_performer.text import (
    Documents,
    WordPieceTokenizer,
    find_train_test,
    train_test_split,
)
from keras_performer.training import (
    ClassifierSettings,
    RunFolder,
    build_classifier,
    evaluate_classifier,
    train_classifier,
)
from keras_performer.training.checkpoints.checkpoint import Checkpoint
from keras_performer.training.training_documents import warn_of_unknown


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
        "checkpoints",
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
    highest = max(history, key=lambda row: (row["val_accuracy"], -row["val_loss"]))
    assert best["epoch"] == highest["epoch"]
    assert best["score"] == pytest.approx(highest["val_accuracy"])
    assert best["loss"] == pytest.approx(highest["val_loss"])


def test_the_model_learns_and_is_measured(complete, settings):
    _, test = find_train_test(settings.data)
    measured = evaluate_classifier(
        complete.model(), complete.tokenizer(), test, 128, 1024
    )
    assert measured.num_documents == 24
    assert measured.num_windows > 2 * measured.num_documents
    assert measured.documents >= 0.9
    assert measured.whole >= 0.9


@pytest.mark.slow
def test_a_table_of_classes_of_unequal_size(tmp_path):
    rows = ["id,label,text"]
    rows += [f'{i},sea,"a ship, {i} sails and ""waves"""' for i in range(40)]
    rows += [f"{i},farm,a barn of hay {i}" for i in range(4)]
    data = tmp_path / "a.csv.gz"
    data.write_bytes(gzip.compress("\n".join(rows).encode()))
    settings = ClassifierSettings(
        data=str(data),
        **{**SMALL, "epochs": 1, "tokens_per_batch": 256, "validation_fraction": 0},
        class_weight="balanced",
    )
    train_classifier(settings, tmp_path / "run", verbose=0)
    folder = RunFolder(tmp_path / "run")
    [row] = folder.history()
    # A model that knows nothing has this loss where classes have the same share of it.
    assert 0 < row["loss"] < 1.5
    _, test = folder.settings().find_train_test()
    assert [test.labels[label_id] for label_id in test.label_ids].count("farm") == 1
    measured = evaluate_classifier(folder.model(), folder.tokenizer(), test, 128, 1024)
    assert measured.num_documents == len(test)


STEPS = 17  # of an epoch


# 4 steps lie between two checkpoints, or an epoch's end.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("owner", "name", "when", "latest_step"),
    [
        # Within the second epoch.
        ("Callbacks", "on_train_batch_end", STEPS + 7, STEPS + 4),
        # Before any checkpoint; while one is written; before the second epoch's
        # validation; before the row of the last; when all is done but the model.
        ("Callbacks", "on_train_batch_end", 3, 0),
        ("os", "replace", 6, 8),
        ("Callbacks", "on_test_begin", 2, STEPS + 16),
        ("Callbacks", "on_epoch_end", 3, 2 * STEPS + 16),
        ("Callbacks", "on_train_end", 1, 3 * STEPS),
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


@pytest.mark.slow
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


def test_mixed_precision_keeps_weights_and_probabilities_in_float32(settings):
    mixed = dataclasses.replace(settings, mixed_precision=True)
    model = build_classifier(mixed, vocabulary_size=257, num_classes=2)
    assert model.backbone(np.ones((1, 8), "int32")).dtype == "bfloat16"
    assert {weight.dtype for weight in model.trainable_weights} == {"float32"}
    assert model(np.ones((1, 8), "int32")).dtype == "float32"


def test_early_stopping_and_tensorboard_reach_the_training(
    settings, tmp_path, monkeypatch
):
    class Reached(Exception):
        pass

    def train_steps(*arguments, patience, tensorboard, **others):
        raise Reached(patience, tensorboard)

    module = sys.modules["keras_performer.training.train_encoder"]
    monkeypatch.setattr(module, "train_steps", train_steps)
    for epochs, patience in ((0, None), (2, 2)):
        stopping = dataclasses.replace(settings, early_stopping=epochs)
        with pytest.raises(Reached) as reached:
            train_classifier(stopping, tmp_path / "run", verbose=0, tensorboard=True)
        assert reached.value.args == (patience, True)


def test_smoothing_and_token_dropout_reach_the_training_of_the_encoder(
    settings, tmp_path, monkeypatch
):
    class Reached(Exception):
        pass

    def train_steps(model, batches_from, *arguments, **others):
        raise Reached(model, batches_from)

    module = sys.modules["keras_performer.training.train_encoder"]
    monkeypatch.setattr(module, "train_steps", train_steps)
    shares, losses, outputs = [], [], []
    for index, change in enumerate(
        ({}, {"label_smoothing": 0.2, "token_dropout": 0.5})
    ):
        changed = dataclasses.replace(settings, dropout=0.0, **change)
        with pytest.raises(Reached) as reached:
            train_classifier(changed, tmp_path / f"run-{index}", verbose=0)
        model, batches_from = reached.value.args
        (ids, *_), (again, *_) = (next(iter(batches_from(step))) for step in (0, 0))
        np.testing.assert_array_equal(ids, again)
        shares.append(np.mean(ids.numpy() == 0))
        sure = np.eye(2, dtype="float32")
        losses.append(float(model.compute_loss(y=np.arange(2), y_pred=sure)))
        # What leaves tokens out is not in the model.
        outputs.append(model(np.arange(1, 101)[None], training=True).numpy())
    assert shares[1] == pytest.approx(shares[0] + 0.5 * (1 - shares[0]), abs=0.1)
    assert losses[0] == pytest.approx(0, abs=1e-6) and losses[1] > 0.5
    np.testing.assert_array_equal(*outputs)


def test_a_complete_run_is_not_trained_again(complete, settings, monkeypatch):
    monkeypatch.setattr(keras.Model, "fit", None)
    model = train_classifier(settings, complete.path, verbose=0)
    for ours, theirs in zip(model.weights, complete.model().weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(("name", "value"), [("epochs", 2), ("seed", 5)])
def test_other_settings_do_not_go_on(complete, settings, name, value):
    other = dataclasses.replace(settings, **{name: value})
    before = getattr(settings, name)
    with pytest.raises(ValueError, match=f"{name}: {before} there, {value} now"):
        train_classifier(other, complete.path, verbose=0)


@pytest.mark.slow
def test_a_complete_run_goes_on_with_more_epochs(complete, settings, tmp_path):
    path = tmp_path / "run"
    shutil.copytree(complete.path, path)
    (path / "evaluation.json").write_text("{}")
    more = dataclasses.replace(settings, epochs=4, monitor=settings.monitor)
    train_classifier(more, path, verbose=0)
    run = RunFolder(path)
    assert run.settings() == more
    assert run.history()[:3] == complete.history()
    assert run.history()[3]["step"] == 4 * STEPS
    assert run.model_path.exists() and not run.evaluation_path.exists()


def test_a_complete_run_without_checkpoints_says_why_it_does_not_go_on(
    complete, settings, tmp_path
):
    path = tmp_path / "run"
    shutil.copytree(complete.path, path)
    shutil.rmtree(path / "checkpoints")
    more = dataclasses.replace(settings, epochs=4)
    with pytest.raises(ValueError, match=r"no checkpoint.*Choose another folder"):
        train_classifier(more, path, verbose=0)
    assert RunFolder(path).settings() == settings
    assert RunFolder(path).model_path.exists()


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


def test_a_vocabulary_that_cannot_be_learnt_leaves_no_run_folder(
    settings, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "tensorflow_text", None)
    words = dataclasses.replace(settings, tokenizer="wordpiece", vocabulary_size=200)
    with pytest.raises(ImportError, match="tensorflow-text"):
        train_classifier(words, tmp_path / "run", verbose=0)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("text", "warns"), [("way " * 97 + "w", False), ("ß" * 9, 1)])
def test_much_unknown_text_is_warned_of(tmp_path, text, warns):
    paths = [str(tmp_path / f"{index}.txt") for index in range(2)]
    for path in paths:
        pathlib.Path(path).write_text(f"{text} way", encoding="utf-8")
    documents = Documents(tuple(paths), (0, 1), ("a", "b"))
    tokenizer = WordPieceTokenizer(["[PAD]", "[UNK]", "way"])
    warned = pytest.warns(UserWarning, match=r"85.7% of the bytes.*--tokenizer bytes")
    with warned if warns else contextlib.nullcontext():
        warn_of_unknown(tokenizer, documents)


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
