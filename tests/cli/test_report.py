"""The table of accuracies: printed and kept before the baselines are measured."""

import json

import pytest

from keras_performer.cli import report
from keras_performer.training import ClassifierSettings, Evaluation, RunFolder

MEASURED = Evaluation(0.5, 0.75, 1.0, num_windows=4, num_documents=2)


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
    monkeypatch.setattr(report, "evaluate_classifier", lambda *arguments: MEASURED)
    return folder


def test_a_failure_of_the_baselines_loses_no_result(run, monkeypatch, capsys):
    def out_of_memory(*arguments):
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(report, "evaluate_baselines", out_of_memory)
        with pytest.raises(MemoryError):
            report.evaluate(run.path)
    assert "75.0%" in capsys.readouterr().out
    assert json.loads(run.evaluation_path.read_text())["performer"]["documents"] == 0.75

    monkeypatch.setattr(report, "evaluate_classifier", None)  # is not measured again
    measured = report.evaluate(run.path)
    assert measured["baselines"]["majority_document"] == 0.5
    assert json.loads(run.evaluation_path.read_text()) == measured
    assert "TF-IDF + logistic regression" in capsys.readouterr().out
