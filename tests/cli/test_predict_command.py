"""`keras-performer predict` with a model on this machine, without a server."""

import io
import json
import pathlib
import types

import pytest
from letter_classifier import probability_of_a

from keras_performer.cli import main as command_line
from keras_performer.cli import text_blocks, texts


@pytest.fixture(params=["--run", "--model"])
def model_flags(request, letter_run, letter_export):
    folder = letter_run.path if request.param == "--run" else letter_export
    return [request.param, str(folder)]


@pytest.fixture
def folder(tmp_path):
    """Five documents of unlike lengths, one in a folder of its own."""
    folder = tmp_path / "documents"
    (folder / "more").mkdir(parents=True)
    found = {"0.txt": "ab", "1.txt": "a" * 300 + "b", "2.txt": "", "more/3": "b"}
    for name, text in found.items():
        (folder / name).write_text(text)
    (folder / ".hidden").write_text("a")
    return folder


def test_a_folder_gives_a_line_of_json_a_document(
    model_flags, folder, capsys, monkeypatch
):
    monkeypatch.setattr(text_blocks, "BLOCK_TEXTS", 3)
    assert command_line.main(["predict", *model_flags, "--json", str(folder)]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    names = ["0.txt", "1.txt", "2.txt", "more/3"]
    assert [row["path"] for row in rows] == [str(folder / name) for name in names]
    for row in rows:
        p = probability_of_a(pathlib.Path(row["path"]).read_text())
        assert row["probabilities"] == {
            "a": pytest.approx(p, abs=1e-5),
            "b": pytest.approx(1 - p, abs=1e-5),
        }
        assert row["label"] == ("a" if p >= 0.5 else "b")


def test_standard_input_is_a_document_and_lines_have_tabs(
    letter_run, capsys, monkeypatch
):
    monkeypatch.setattr(
        "sys.stdin", types.SimpleNamespace(buffer=io.BytesIO(b"\xef\xbb\xbfbbb"))
    )
    assert command_line.main(["predict", "--run", str(letter_run.path), "-"]) == 0
    path, label, probability = capsys.readouterr().out.rstrip("\n").split("\t")
    assert (path, label) == ("-", "b")
    assert float(probability) == pytest.approx(1 - probability_of_a("bbb"), abs=1e-4)


def test_rows_of_tables_are_documents_where_their_column_is_named(
    letter_run, folder, tmp_path, capsys
):
    table = tmp_path / "rows.jsonl"
    rows = [{"words": "aab"}, {"words": ""}, {"words": "b\ud800"}, {"other": 1}]
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = ["predict", "--run", str(letter_run.path), "--text-column", "words"]
    files = [str(table), str(folder / "1.txt")]
    assert command_line.main([*command, *files]) == 2
    captured = capsys.readouterr()
    found = [line.split("\t")[:2] for line in captured.out.splitlines()]
    names = [f"{table}:1", f"{table}:2", f"{table}:3", files[1]]
    assert found == [[n, label] for n, label in zip(names, "aaba", strict=True)]
    assert "no column 'words'" in captured.err
    assert command_line.main(["predict", "--text-column", "words", *files]) == 2
    assert "--run or --model" in capsys.readouterr().err


def test_it_goes_on_after_a_file_that_cannot_be_read(letter_run, folder, capsys):
    (folder / "1.txt").write_bytes(b"a\xff")
    files = [str(folder / "no such file"), str(folder)]
    command = ["predict", "--run", str(letter_run.path), *files]
    assert command_line.main(command) == 2
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 3
    assert "no such file" in captured.err and "1.txt" in captured.err


def test_a_folder_without_a_model_says_what_is_expected(tmp_path, capsys):
    (tmp_path / "a.txt").write_text("a")
    command = ["predict", "--model", str(tmp_path), str(tmp_path / "a.txt")]
    assert command_line.main(command) == 2
    assert "saved_models/documents/1" in capsys.readouterr().err
    (tmp_path / "saved_model.pb").write_bytes(b"nothing")
    assert command_line.main(command) == 2
    assert "cannot be used as a document classifier" in capsys.readouterr().err


def test_export_tells_as_json_what_it_wrote(letter_run, tmp_path, capsys):
    command = ["export", "--run", str(letter_run.path), "--json"]
    command += ["--saved-models", str(tmp_path / "models"), "--name", "letters"]
    assert command_line.main(command) == 0
    written = json.loads(capsys.readouterr().out)
    assert written == {
        "path": str(tmp_path / "models" / "letters" / "1"),
        "name": "letters",
        "version": 1,
        "labels": ["a", "b"],
    }


def test_blocks_are_bounded_in_bytes(folder, monkeypatch):
    monkeypatch.setattr(text_blocks, "BLOCK_BYTES", 3)
    paths = texts.text_paths([str(folder)])
    blocks = [list(map(len, block)) for _, block in text_blocks.TextBlocks(paths)]
    assert blocks == [[2], [301], [0, 1]]


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no files"):
        texts.text_paths([str(tmp_path)])
