"""`keras-performer embed`: vectors to files, and the nearest documents."""

import json
import sys

import numpy as np
import pytest
from letter_classifier import SCALE

from keras_performer.cli import embed
from keras_performer.cli import main as command_line
from keras_performer.cli.embed import nearest_rows

TEXTS = {"0": "aaab", "1": "b", "2": "aaaabb", "3": "bbbba", "4": ""}
VECTORS = [[0.75, 0.25], [0, 1], [2 / 3, 1 / 3], [0.2, 0.8], [0, 0]]


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "documents"
    folder.mkdir()
    for name, text in TEXTS.items():
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize("ending", ["npz", "parquet"])
def test_vectors_are_written_with_their_paths(letter_run, folder, ending, tmp_path):
    if ending == "parquet":
        parquet = pytest.importorskip("pyarrow.parquet")
    out = tmp_path / f"vectors.{ending}"
    command = ["embed", "--run", str(letter_run.path), "--out", str(out), str(folder)]
    assert command_line.main(command) == 0
    if ending == "npz":
        with np.load(out) as arrays:
            paths, vectors = arrays["paths"].tolist(), arrays["embeddings"]
    else:
        table = parquet.read_table(out)
        paths = table["path"].to_pylist()
        vectors = np.array(table["embedding"].to_pylist(), "float32")
    assert paths == [str(folder / name) for name in TEXTS]
    assert vectors.dtype == "float32"
    np.testing.assert_allclose(vectors / SCALE, VECTORS, atol=1e-6)


def test_the_nearest_by_an_exported_model(letter_export, folder, capsys):
    command = ["embed", "--model", str(letter_export), "--nearest", "2", str(folder)]
    assert command_line.main([*command, "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    nearest = [[pair["path"][-1] for pair in row["nearest"]] for row in rows]
    assert nearest[:4] == [["2", "3"], ["3", "2"], ["0", "3"], ["1", "2"]]
    assert rows[0]["nearest"][0]["cosine"] == pytest.approx(0.9899, abs=1e-4)
    assert command_line.main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 10
    assert lines[0] == f"{folder}/0\t{folder}/2\t0.9899"


def test_without_a_file_the_vectors_are_lines_of_json(letter_run, folder, capsys):
    command = ["embed", "--run", str(letter_run.path), str(folder)]
    assert command_line.main(command) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    np.testing.assert_allclose(
        np.array([row["embedding"] for row in rows]) / SCALE, VECTORS, atol=1e-6
    )


def test_nearest_rows_are_those_of_all_cosines(monkeypatch):
    monkeypatch.setattr(embed, "_COSINES_AT_ONCE", 7 * 40)  # seven rows
    vectors = np.random.default_rng(0).normal(size=(40, 5))
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = units @ units.T - 2 * np.eye(40)
    for index, row in enumerate(nearest_rows(vectors, 3)):
        expected = np.argsort(-cosines[index])[:3]
        assert [neighbour for neighbour, _ in row] == expected.tolist()
    assert [len(row) for row in nearest_rows(vectors[:3], 9)] == [2, 2, 2]
    assert list(nearest_rows(vectors[:1], 9)) == [[]]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--out", "x.csv"], r".npz or .parquet"),
        (["--out", "no/such/folder/x.npz"], "no folder"),
        (["--nearest", "0"], "at least 1"),
        (["--out", "x.parquet"], "[parquet]"),
    ],
)
def test_a_mistake_is_said_before_the_work(flags, message, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert command_line.main(["embed", "--run", "r", *flags, "file"]) == 2
    assert message in capsys.readouterr().err
