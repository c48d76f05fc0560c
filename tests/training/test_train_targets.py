"""Several labels a document, and numbers: trained, measured, predicted, exported."""

import json

import numpy as np
import pytest
import tensorflow as tf
from small_classifier import SMALL
from small_tables import write_labels, write_numbers

from keras_performer.cli import main as command_line
from keras_performer.cli.target_report import print_targets
from keras_performer.text import Documents, find_documents
from keras_performer.training import ClassifierSettings, RunFolder, train_classifier
from keras_performer.training.run_folder import fingerprint

# One width of batches: each is compiled anew.
TINY = SMALL | {
    "context_length": 256,
    "epochs": 1,
    "feature_map": "relu",
    "num_features": None,
    "ngram_buckets": 4096,
    "ngram_epochs": 12,
    "block": "plain",
}


def trained(problem, write, folder):
    data = write(folder / "data")
    settings = ClassifierSettings(data=str(data), problem=problem, **TINY)
    train_classifier(settings, folder / "run", verbose=0)
    return folder / "run"


@pytest.fixture(scope="module")
def of_labels(tmp_path_factory):
    """The folder of a complete training with several labels."""
    return trained("multi_label", write_labels, tmp_path_factory.mktemp("labels"))


@pytest.fixture(scope="module")
def of_numbers(tmp_path_factory):
    """The folder of a complete training with numbers."""
    return trained("regression", write_numbers, tmp_path_factory.mktemp("numbers"))


def command(capsys, *words):
    assert command_line.main([str(word) for word in words]) == 0
    return capsys.readouterr().out


@pytest.mark.slow
def test_several_labels_are_learnt(of_labels, capsys):
    measured = json.loads(command(capsys, "evaluate", "--run", of_labels, "--json"))
    print_targets(measured)
    text = capsys.readouterr().out
    assert "Micro F1" in text and "precision" in text and "Confusion" not in text
    assert measured["measures"]["whole"]["micro_f1"] > 0.9
    assert set(measured["classes"]) == {"sea", "farm", "war"}
    assert RunFolder(of_labels).labels() == ("farm", "sea", "war")
    for error in measured["errors"]:
        assert error["target"] != error["labels"]


@pytest.mark.slow
def test_numbers_are_learnt_in_their_units(of_numbers, capsys):
    words = ["evaluate", "--run", of_numbers, "--by", "window"]
    measured = json.loads(command(capsys, *words, "--json"))
    print_targets(measured)
    text = capsys.readouterr().out
    assert "R²" in text and "Root mean squared error" in text
    assert measured["measures"]["whole"]["r2"] > 0.8
    assert measured["measures"]["document"]["rmse"] < 13  # years, of 100
    assert "classes" not in measured
    error = measured["errors"][0]
    assert abs(error["target"] - error["value"]) < 50


TEXTS = ("the siege of a harbour", "a barn")


def answers(run, folder, capsys):
    """What the model of a run and its export say, without a server, and the export."""
    words = ["export", "--run", run, "--saved-models", folder, "--name", "m"]
    command(capsys, *words)
    files = [folder / f"{index}.txt" for index in range(len(TEXTS))]
    for file, text in zip(files, TEXTS, strict=True):
        file.write_text(text)
    found = [
        list(map(json.loads, command(capsys, *words, "--json", *files).splitlines()))
        for words in (["predict", "--run", run], ["predict", "--model", folder / "m"])
    ]
    return *found, tf.saved_model.load(str(folder / "m" / "1")).signatures


@pytest.mark.slow
def test_an_export_of_several_labels(of_labels, tmp_path, capsys):
    ours, exported, signatures = answers(of_labels, tmp_path, capsys)
    for our, their in zip(ours, exported, strict=True):
        assert our["labels"] == their["labels"]
        assert their["probabilities"] == pytest.approx(our["probabilities"], rel=1e-4)
        assert our["labels"] == [k for k, p in our["probabilities"].items() if p >= 0.5]
    found = signatures["serving_default"](text=tf.constant(TEXTS))
    assert found["classes"].numpy().tolist() == [[b"farm", b"sea", b"war"]] * 2
    np.testing.assert_allclose(
        found["probabilities"],
        [list(our["probabilities"].values()) for our in ours],
        rtol=1e-4,
    )


@pytest.mark.slow  # the export of a single label is always tested
def test_an_export_of_a_number(of_numbers, tmp_path, capsys):
    ours, exported, signatures = answers(of_numbers, tmp_path, capsys)
    values = [our["value"] for our in ours]
    assert values[0] > values[1]
    assert [their["value"] for their in exported] == pytest.approx(values, rel=1e-5)
    assert set(signatures) == {"serving_default", "tokens", "embed"}
    found = signatures["serving_default"](text=tf.constant(TEXTS))
    np.testing.assert_allclose(found["value"], values, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("problem", "baseline", "title"),
    [
        ("multi_label", "TF-IDF + logistic regressions", "Micro F1"),
        ("regression", "TF-IDF + ridge regression", "R²"),
    ],
)
def test_train_prints_the_baselines_beside_it(
    request, capsys, problem, baseline, title
):
    pytest.importorskip("sklearn")
    name = {"multi_label": "of_labels", "regression": "of_numbers"}[problem]
    run = request.getfixturevalue(name)
    words = ["train", "--data", RunFolder(run).settings().data, "--run", run]
    words += [f"--problem={problem}"]
    for name, value in TINY.items():
        if value is not None:
            words.append(f"--{name.replace('_', '-')}={value}")
    measured = json.loads(command(capsys, *words, "--json"))
    row = measured["baselines"]["rows"][baseline]["documents"]
    assert set(row) == set(measured["performer"]["documents"])
    assert row[next(iter(row))] > 0.5
    printed = command(capsys, *words)  # what was measured before
    assert title in printed and baseline in printed


def test_what_needs_one_label_says_so(of_numbers, tmp_path, capsys):
    (tmp_path / "a.txt").write_text("a")
    for words, message in (
        (["explain", "--run", of_numbers, tmp_path / "a.txt"], "one label"),
        (["evaluate", "--run", of_numbers, "--png", "x.png"], "--png"),
    ):
        assert command_line.main([str(word) for word in words]) == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize("problem", ["multi_label", "regression"])
def test_class_weights_need_one_label(problem):
    with pytest.raises(ValueError, match="`class_weight` needs one class"):
        ClassifierSettings(data="d", problem=problem, class_weight="balanced")


def test_other_labels_are_another_training(tmp_path):
    documents = find_documents(write_labels(tmp_path / "data"), problem="multi_label")
    found = set()
    for label_ids in ((), (0,), (0, 1)):
        changed = (label_ids, *documents.label_ids[1:])
        other = Documents(documents.texts, changed, documents.labels, "multi_label")
        found.add(fingerprint(other)["sha256"])
    assert len(found) == 3


def test_all_numbers_alike_are_refused_before_anything_is_written(tmp_path):
    rows = "".join(f"text {index},7\n" for index in range(20))
    (tmp_path / "data.csv").write_text(f"text,label\n{rows}")
    settings = ClassifierSettings(
        data=str(tmp_path / "data.csv"), problem="regression", **TINY
    )
    with pytest.raises(ValueError, match="the same number"):
        train_classifier(settings, tmp_path / "run", verbose=0)
    assert not (tmp_path / "run").exists()
