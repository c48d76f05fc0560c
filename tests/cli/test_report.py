"""The table of accuracies: printed and kept before the baselines are measured."""

import json

import numpy as np
import pytest

from keras_performer.cli import report
from keras_performer.training import ClassifierSettings, RunFolder
from keras_performer.training.evaluation import ClassifierPredictions

# Of two documents the n-grams are right in one, and with the encoder in both.
SEA, FARM = [0.1, 0.9], [0.9, 0.1]
PREDICTIONS = {
    name: ClassifierPredictions(
        windows=np.array(rows),
        owners=np.arange(2),
        documents=np.array(rows),
        whole=np.array(rows),
    )
    for name, rows in (
        ("performer", [FARM, SEA]),
        ("ngrams", [FARM, FARM]),
        ("encoder", [SEA, SEA]),
    )
}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run folder whose model needs no training, on four documents."""
    for half in ("train", "test"):
        for label in ("sea", "farm"):
            folder = tmp_path / "data" / half / label
            folder.mkdir(parents=True)
            (folder / "1.txt").write_text(f"a {label} ")
    folder = RunFolder(tmp_path)
    settings = ClassifierSettings(data=str(tmp_path / "data"), tokenizer="bytes")
    folder.settings_path.write_text(settings.to_json())
    monkeypatch.setattr(RunFolder, "model", lambda self: None)
    monkeypatch.setattr(report, "predict_experts", lambda *arguments: PREDICTIONS)
    return folder


def test_a_failure_of_the_baselines_loses_no_result(run, monkeypatch, capsys):
    def out_of_memory(*arguments):
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(report, "evaluate_baselines", out_of_memory)
        with pytest.raises(MemoryError):
            report.evaluate(run.path)
    printed = capsys.readouterr().out
    assert "100.0%" in printed
    assert "+50.0% ± 35.4%" in printed
    kept = json.loads(run.evaluation_path.read_text())
    assert kept["performer"]["documents"] == 1.0
    assert kept["ngrams"]["documents"] == kept["encoder"]["documents"] == 0.5

    monkeypatch.setattr(report, "predict_experts", None)  # is not measured again
    measured = report.evaluate(run.path)
    assert measured["baselines"]["majority_document"] == 0.5
    assert json.loads(run.evaluation_path.read_text()) == measured
    assert "TF-IDF + logistic regression" in capsys.readouterr().out
