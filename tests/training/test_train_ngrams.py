"""N-grams learn in seconds, alone or beside an encoder, and go on after a kill."""

import dataclasses
import shutil

import numpy as np
import pytest
from small_classifier import SMALL
from small_corpus import write_corpus

from keras_performer.text import find_train_test
from keras_performer.training import (
    ClassifierSettings,
    RunFolder,
    evaluate_classifier,
    train_classifier,
)
from keras_performer.training.checkpoints.best_weights import BestWeights
from keras_performer.training.history_file import HistoryFile


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    data = write_corpus(tmp_path_factory.mktemp("corpus"))
    changes = {"epochs": 1, "ngram_buckets": 4096, "ngram_epochs": 3}
    return ClassifierSettings(data=str(data), **SMALL | changes)


@pytest.fixture(scope="module")
def complete(settings, tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "complete"
    train_classifier(settings, path, verbose=0)
    return RunFolder(path)


def test_words_tell_the_classes_after_three_epochs(complete, settings):
    _, test = find_train_test(settings.data)
    model, tokenizer = complete.model(), complete.tokenizer()
    measured = evaluate_classifier(model.ngram_classifier, tokenizer, test, 128, 1024)
    assert measured.windows > 0.95
    both = evaluate_classifier(model, tokenizer, test, 128, 1024)
    assert both.windows > 0.95
    assert model.experts.powers.numpy()[0] > 0


def test_both_weights_are_tried_and_the_better_trained_on_all_documents(complete):
    losses = {}
    for weights in ("tfidf", "supervised"):
        folder = complete.ngrams_path / "held_out" / weights
        step = BestWeights(folder / "best.weights.h5").best()["step"]
        rows = HistoryFile(folder / "history.csv").rows()
        [losses[weights]] = [row["val_loss"] for row in rows if row["step"] == step]
    [final] = (complete.ngrams_path / "final").iterdir()
    assert final.name == min(losses, key=losses.get)


@pytest.mark.slow
def test_a_training_that_lost_its_end_gives_the_same_model(
    complete, settings, tmp_path
):
    path = tmp_path / "run"
    shutil.copytree(complete.path, path)
    (path / "model.keras").unlink()
    shutil.rmtree(path / "ngrams" / "final")
    train_classifier(settings, path, verbose=0)
    for ours, theirs in zip(
        RunFolder(path).model().weights, complete.model().weights, strict=True
    ):
        np.testing.assert_array_equal(ours, theirs, err_msg=ours.path)


@pytest.mark.slow
def test_without_documents_held_out_both_count_alike(settings, tmp_path):
    all_of_them = dataclasses.replace(settings, validation_fraction=0, ngram_epochs=1)
    model = train_classifier(all_of_them, tmp_path / "run", verbose=0)
    assert model.experts.powers.numpy().tolist() == [1, 1]


def test_too_few_buckets_are_refused_before_anything_is_written(settings, tmp_path):
    with pytest.raises(ValueError, match="`num_buckets` must be at least 2"):
        train_classifier(
            dataclasses.replace(settings, ngram_buckets=1), tmp_path / "run", verbose=0
        )
    assert not (tmp_path / "run").exists()
