"""A run folder whose model needs no training, on documents of two letters."""

import json

import pytest
from letter_classifier import LABELS, letter_classifier

from keras_performer.export import export_classifier
from keras_performer.text import ByteTokenizer
from keras_performer.training import ClassifierSettings, RunFolder

TEXTS = {
    "a": ["aaaa", "aabaab", "abbbbb", "aaaa bbb"],
    "b": ["bb", "aaaaaab", "bbbb aaa"],
}


@pytest.fixture(scope="session")
def letter_model():
    return letter_classifier()


@pytest.fixture(scope="session")
def letter_export(letter_model, tmp_path_factory):
    """The folder of an exported model, with a version in it."""
    folder = tmp_path_factory.mktemp("saved_models")
    tokenizer = ByteTokenizer()
    return export_classifier(letter_model, tokenizer, LABELS, folder, "letters").parent


@pytest.fixture
def letter_run(tmp_path, monkeypatch, letter_model):
    """The `RunFolder`, beside the folder `data` of its documents."""
    for half in ("train", "test"):
        for label, texts in TEXTS.items():
            folder = tmp_path / "data" / half / label
            folder.mkdir(parents=True)
            for index, text in enumerate(texts):
                (folder / f"{index}.txt").write_text(text)
    run = RunFolder(tmp_path / "run")
    run.path.mkdir()
    settings = ClassifierSettings(
        data=str(tmp_path / "data"),
        tokenizer="bytes",
        context_length=4,
        tokens_per_batch=16,
    )
    run.settings_path.write_text(settings.to_json())
    run.labels_path.write_text(json.dumps(LABELS))
    monkeypatch.setattr(RunFolder, "model", lambda self: letter_model)
    return run
