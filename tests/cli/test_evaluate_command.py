"""`keras-performer evaluate`, on a classifier whose every answer is known."""

import json
import pathlib
import sys

import numpy as np
import pytest
from letter_classifier import probability_of_a

from keras_performer.cli import main as command_line


def evaluated(letter_run, capsys, *flags):
    command = ["evaluate", "--run", str(letter_run.path), "--json", *flags]
    assert command_line.main(command) == 0
    captured = capsys.readouterr()
    assert "Measuring on" in captured.err
    return json.loads(captured.out)


def test_all_that_is_measured(letter_run, capsys):
    measured = evaluated(letter_run, capsys)
    assert (measured["num_documents"], measured["num_windows"]) == (7, 12)
    # Of a: aaaa, aaba|ab, abbb|bb, aaaa| bbb; of b: bb, aaaa|aab, bbbb| aaa.
    assert measured["confusion_matrix"] == [[3, 1], [1, 2]]
    assert measured["accuracy"]["whole"] == pytest.approx(5 / 7)
    assert measured["classes"]["a"]["precision"] == 3 / 4
    assert measured["classes"]["b"]["recall"] == pytest.approx(2 / 3)
    assert measured["macro_average"]["support"] == 7
    assert measured["weighted_average"]["recall"] == pytest.approx(5 / 7)

    first, second = measured["errors"]
    assert pathlib.Path(first["path"]).parts[-2:] == ("b", "1.txt")
    assert (first["label"], first["predicted"]) == ("b", "a")
    p = probability_of_a("aaaaaab")
    assert first["predicted_probability"] == pytest.approx(p, abs=1e-5)
    assert first["label_probability"] == pytest.approx(1 - p, abs=1e-5)
    assert pathlib.Path(second["path"]).parts[-2:] == ("a", "2.txt")
    bins = measured["calibration"]["bins"]
    assert sum(row["number"] for row in bins) == 7
    error = sum(r["number"] * abs(r["accuracy"] - r["confidence"]) for r in bins) / 7
    assert measured["calibration"]["error"] == pytest.approx(error)


def test_answers_by_window_and_fewer_errors(letter_run, capsys):
    measured = evaluated(letter_run, capsys, "--by", "window", "--errors", "1")
    assert np.sum(measured["confusion_matrix"]) == 12
    right = np.trace(measured["confusion_matrix"])
    assert measured["accuracy"]["window"] == pytest.approx(right / 12)
    [error] = measured["errors"]
    assert error["label_probability"] < 0.01


def test_other_documents_and_the_text(letter_run, capsys, tmp_path):
    other = tmp_path / "other"
    (other / "b").mkdir(parents=True)
    (other / "b" / "x.txt").write_text("aaa")
    picture = tmp_path / "confusion.png"
    command = ["evaluate", "--run", str(letter_run.path), "--data", str(other)]
    assert command_line.main([*command, "--png", str(picture)]) == 0
    text = capsys.readouterr().out
    for part in ("on 1 documents", "macro average", "calibration error: 100", "x.txt"):
        assert part in text
    assert picture.read_bytes().startswith(b"\x89PNG")

    (other / "c").mkdir()
    (other / "c" / "x.txt").write_text("aaa")
    assert command_line.main(command) == 2
    assert "'c'" in capsys.readouterr().err


def test_documents_of_a_table(letter_run, capsys, tmp_path):
    table = tmp_path / "other.csv"
    table.write_text("kind,words\nb,aaa\na,aaab\n")
    columns = ["--text-column", "words", "--label-column", "kind"]
    measured = evaluated(letter_run, capsys, "--data", str(table), *columns)
    assert measured["confusion_matrix"] == [[1, 0], [1, 0]]
    [error] = measured["errors"]
    assert error["path"] == f"{table}:2"


def test_a_missing_matplotlib_is_said_before_anything_is_measured(
    letter_run, capsys, monkeypatch
):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    command = ["evaluate", "--run", str(letter_run.path), "--png", "x.png"]
    assert command_line.main(command) == 2
    error = capsys.readouterr().err
    assert "figures" in error and "Measuring" not in error
