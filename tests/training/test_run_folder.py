"""Run folders of other documents, that are not complete, or damaged."""

import dataclasses

import pytest
from small_classifier import SMALL
from small_corpus import write_corpus

from keras_performer.text import find_train_test
from keras_performer.training import ClassifierSettings, RunFolder


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    data = write_corpus(tmp_path_factory.mktemp("corpus"), files=2)
    return ClassifierSettings(data=str(data), **SMALL)


def test_other_documents_do_not_go_on(tmp_path):
    data = write_corpus(tmp_path / "data", files=2)
    settings = ClassifierSettings(data=str(data), **SMALL)
    documents, _ = find_train_test(data)
    folder = RunFolder(tmp_path / "run")
    folder.open(settings, documents)
    folder.open(settings, documents)
    (data / "train" / "sea" / "0.txt").write_text("another text")
    with pytest.raises(ValueError, match="documents have changed"):
        folder.open(settings, documents)


def test_epochs_and_early_stopping_may_be_others(settings, tmp_path):
    documents, _ = find_train_test(settings.data)
    folder = RunFolder(tmp_path / "run")
    folder.open(dataclasses.replace(settings, early_stopping=2), documents)
    for change in ({"early_stopping": 3}, {"early_stopping": 0, "epochs": 9}):
        changed = dataclasses.replace(settings, **change)
        folder.open(changed, documents)
        assert folder.settings() == changed
    with pytest.raises(ValueError, match="mixed_precision: False there, True now"):
        folder.open(dataclasses.replace(changed, mixed_precision=True), documents)


def test_an_incomplete_run_has_no_model(settings, tmp_path):
    documents, _ = find_train_test(settings.data)
    RunFolder(tmp_path).open(settings, documents)
    with pytest.raises(ValueError, match="not complete"):
        RunFolder(tmp_path).model()
    with pytest.raises(ValueError, match="no run folder"):
        RunFolder(tmp_path / "nowhere").model()


@pytest.mark.parametrize("text", ["not json", '{"data": "d", "no_such": 1}'])
def test_settings_of_another_kind_are_named(tmp_path, text):
    (tmp_path / "settings.json").write_text(text)
    with pytest.raises(ValueError, match=r"settings.json"):
        RunFolder(tmp_path).settings()


def test_a_damaged_model_is_named(settings, tmp_path):
    documents, _ = find_train_test(settings.data)
    folder = RunFolder(tmp_path)
    folder.open(settings, documents)
    folder.model_path.write_bytes(b"PK damaged")
    with pytest.raises(ValueError, match=r"model.keras is damaged"):
        folder.model()


def test_a_folder_of_a_start_that_was_killed_is_started_again(settings, tmp_path):
    documents, _ = find_train_test(settings.data)
    whole = RunFolder(tmp_path / "whole")
    whole.open(settings, documents)
    killed = RunFolder(tmp_path / "killed")
    killed.path.mkdir()
    for name in ("labels.json", "documents.json", "incomplete.settings.json"):
        (killed.path / name).write_text("[")
        killed.check(settings, documents)
    (killed.path / "photo.jpg").write_text("of a cat")
    with pytest.raises(ValueError, match="something else"):
        killed.check(settings, documents)
    (killed.path / "photo.jpg").unlink()
    killed.open(settings, documents)
    assert killed.labels() == whole.labels()
    assert killed.settings() == settings
    assert killed.documents_path.read_text() == whole.documents_path.read_text()


def test_a_table_whose_texts_changed_does_not_go_on(tmp_path):
    table = tmp_path / "a.csv"
    rows = [f"{label},text {index}" for index in range(3) for label in "ab"]
    table.write_text("\n".join(["class,text", *rows]))
    settings = ClassifierSettings(data=str(table), label_column="class", **SMALL)
    train, test = settings.find_train_test()
    assert (len(train), len(test), train.labels) == (4, 2, ("a", "b"))
    folder = RunFolder(tmp_path / "run")
    folder.open(settings, train)
    folder.check(settings, settings.find_train_test()[0])
    table.write_text(
        table.read_text().replace("text", "Text").replace("Text", "text", 1)
    )
    with pytest.raises(ValueError, match="documents have changed"):
        folder.check(settings, settings.find_train_test()[0])
