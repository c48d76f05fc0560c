"""A classifier that starts from a pretraining: its weights, and what is refused."""

import dataclasses
import json
import shutil
import sys

import numpy as np
import pytest
from small_classifier import SMALL
from small_corpus import SHARED, write_corpus
from small_corpus import WORDS as CORPUS
from small_pretraining import SMALL_PRETRAINING

from keras_performer.models import PerformerMaskedLM
from keras_performer.training import (
    ClassifierSettings,
    PretrainingSettings,
    RunFolder,
    build_classifier,
    train_classifier,
)
from keras_performer.training.build_encoder import build_encoder
from keras_performer.training.pretrained_encoder import PretrainedEncoder

VOCABULARY = ["[PAD]", "[UNK]", *CORPUS["sea"], *CORPUS["farm"], *SHARED]
WORDS = {"tokenizer": "wordpiece", "vocabulary_size": 99, "seed": 3}
ONE_EPOCH = {"epochs": 1}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("data"), files=4)


@pytest.fixture
def pretrained(data, tmp_path):
    """The run folder of a pretraining that is complete, by weights that are random."""
    small = SMALL_PRETRAINING | WORDS
    settings = PretrainingSettings(data=str(data), **small)
    run = RunFolder(tmp_path / "pretrained", PretrainingSettings)
    run.open(settings, settings.find_train_test()[0])
    run.save_vocabulary(VOCABULARY)
    backbone = build_encoder(settings, vocabulary_size=len(VOCABULARY) + 1)
    run.save_model(PerformerMaskedLM(backbone, seed=0))
    return run


@pytest.fixture
def settings(data, pretrained):
    small = SMALL | WORDS | ONE_EPOCH | {"seed": 0}
    return ClassifierSettings(data=str(data), pretrained=str(pretrained.path), **small)


class Reached(Exception):
    pass


@pytest.fixture
def no_training(monkeypatch):
    """The training ends where the encoder's begins, and tells its model."""

    def train_encoder(model, *arguments):
        raise Reached(model)

    module = sys.modules["keras_performer.training.train_classifier"]
    monkeypatch.setattr(module, "train_encoder", train_encoder)


def test_the_weights_and_the_vocabulary_are_taken_over(
    pretrained, settings, tmp_path, no_training
):
    with pytest.raises(Reached) as reached:
        train_classifier(settings, tmp_path / "run", verbose=0)
    [classifier] = reached.value.args
    theirs = {w.path: np.asarray(w) for w in pretrained.model().backbone.weights}
    assert len(classifier.backbone.weights) == len(theirs)
    for weight in classifier.backbone.weights:
        expected = theirs[weight.path]
        if weight.path == "token_embedding/embeddings":
            assert weight.shape == (28, 16) and expected.shape == (29, 16)
            expected = expected[:-1]  # the last is the mask's
        np.testing.assert_array_equal(weight, expected, err_msg=weight.path)
    run = RunFolder(tmp_path / "run")
    assert run.vocabulary_path.read_text() == pretrained.vocabulary_path.read_text()
    assert run.settings().pretrained == str(pretrained.path)


def test_weights_of_another_seed_are_others(settings):
    """What the test above compares is not equal by chance."""
    model = build_classifier(settings, vocabulary_size=28, num_classes=2)
    before = [np.asarray(weight) for weight in model.backbone.weights]
    PretrainedEncoder(settings).copy_to(model.backbone)
    same = [
        np.array_equal(old, new)
        for old, new in zip(before, model.backbone.weights, strict=True)
    ]
    assert not all(same) and not same[0]


@pytest.mark.slow
def test_the_run_is_not_needed_once_there_is_a_checkpoint(
    pretrained, settings, tmp_path
):
    path = tmp_path / "run"
    train_classifier(settings, path, verbose=0)
    shutil.rmtree(pretrained.path)
    train_classifier(settings, path, verbose=0)
    more = dataclasses.replace(settings, epochs=2)
    train_classifier(more, path, verbose=0)
    assert len(RunFolder(path).history()) == 2


def test_a_start_that_was_killed_before_a_checkpoint_needs_it(
    pretrained, settings, tmp_path, no_training
):
    for _ in range(2):
        with pytest.raises(Reached):
            train_classifier(settings, tmp_path / "run", verbose=0)
    pretrained.vocabulary_path.write_text("\n".join([*VOCABULARY[:-1], "other", ""]))
    with pytest.raises(ValueError, match=r"another vocabulary.*Choose another folder"):
        train_classifier(settings, tmp_path / "run", verbose=0)
    shutil.rmtree(pretrained.path)
    with pytest.raises(ValueError, match=r"no run folder.*keras-performer pretrain"):
        train_classifier(settings, tmp_path / "run", verbose=0)


def test_other_settings_of_the_encoder_are_named(settings, tmp_path):
    other = dataclasses.replace(
        settings, num_layers=3, block="plain", context_length=64, dropout=0.3
    )
    with pytest.raises(ValueError) as error:
        train_classifier(other, tmp_path / "run", verbose=0)
    text = str(error.value)
    assert "num_layers: 1 there, 3 now" in text
    assert "block: 'gated' there, 'plain' now" in text
    assert "context_length: 128 there, 64 now" in text
    assert "dropout" not in text and "num_heads" not in text
    assert "Pass those" in text
    assert not (tmp_path / "run").exists()


def test_a_run_that_is_incomplete_damaged_or_another_is_refused(
    pretrained, settings, tmp_path
):
    pretrained.model_path.write_bytes(b"PK damaged")
    with pytest.raises(ValueError, match=r"model.keras is damaged"):
        train_classifier(settings, tmp_path / "run", verbose=0)
    pretrained.model_path.unlink()
    with pytest.raises(ValueError, match=r"not complete.*same `pretrain` again"):
        train_classifier(settings, tmp_path / "run", verbose=0)
    pretrained.settings_path.write_text(settings.to_json())  # of a classifier
    with pytest.raises(ValueError, match="settings of `keras-performer pretrain`"):
        train_classifier(settings, tmp_path / "run", verbose=0)
    assert not (tmp_path / "run").exists()


def test_settings_of_older_runs_have_none_of_it(settings):
    new = ("pretrained", "label_smoothing", "token_dropout")
    older = {k: v for k, v in vars(settings).items() if k not in new}
    loaded = ClassifierSettings.from_json(json.dumps(older))
    assert [getattr(loaded, name) for name in new] == [None, 0.0, 0.0]
