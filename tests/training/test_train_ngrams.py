"""N-grams learn in seconds, alone or beside an encoder, and go on after a kill."""

import dataclasses
import shutil

import keras
import numpy as np
import pytest
from small_classifier import SMALL
from small_corpus import write_corpus
from tolerances import assert_close

from keras_performer.text import find_train_test
from keras_performer.training import (
    ClassifierSettings,
    RunFolder,
    evaluate_classifier,
    train_classifier,
)
from keras_performer.training.history_file import HistoryFile
from keras_performer.training.train_ngrams import RowAdagrad


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


@pytest.mark.slow
def test_words_tell_the_classes_after_three_epochs(complete, settings):
    _, test = find_train_test(settings.data)
    model, tokenizer = complete.model(), complete.tokenizer()
    measured = evaluate_classifier(model.ngram_classifier, tokenizer, test, 128, 1024)
    assert measured.windows > 0.95
    both = evaluate_classifier(model, tokenizer, test, 128, 1024)
    assert both.windows > 0.95
    assert model.experts.powers.numpy()[0] > 0


@pytest.mark.slow
def test_both_weights_are_tried_and_the_better_trained_on_all_documents(complete):
    histories = {
        weights: HistoryFile(
            complete.ngrams_path / "held_out" / weights / "history.csv"
        ).rows()
        for weights in ("tfidf", "supervised")
    }
    losses = {weights: rows[1]["val_loss"] for weights, rows in histories.items()}
    better, other = sorted(losses, key=losses.get)
    assert [len(histories[better]), len(histories[other])] == [3, 2]
    [final] = (complete.ngrams_path / "final").iterdir()
    assert final.name == better


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


def test_rows_of_a_table_are_updated_as_by_keras():
    # Each row once in a batch: Keras sums what several texts say of a row.
    batches = [np.array([[3, 1], [0, 5]]), np.array([[5, 2], [1, 7]])]
    tables = []
    for optimizer in (keras.optimizers.Adagrad(0.1), RowAdagrad(0.1)):
        model = keras.Sequential(
            [
                keras.Input((2,), dtype="int32"),
                keras.layers.Embedding(8, 3, embeddings_initializer="ones"),
                keras.layers.Flatten(),
                keras.layers.Dense(2, kernel_initializer="ones"),
            ]
        )
        model.compile(optimizer, "mse", jit_compile=False)
        for batch in batches:
            model.train_on_batch(batch, batch)
        tables.append([weight.numpy() for weight in model.weights])
    for ours, theirs in zip(*tables, strict=True):
        assert_close(ours, theirs, "float32")
    assert (tables[1][0][4] == 1).all() and (tables[1][0][5] != 1).all()


def test_too_few_buckets_are_refused_before_anything_is_written(settings, tmp_path):
    with pytest.raises(ValueError, match="`num_buckets` must be at least 2"):
        train_classifier(
            dataclasses.replace(settings, ngram_buckets=1), tmp_path / "run", verbose=0
        )
    assert not (tmp_path / "run").exists()
