"""The demo, small: on given documents, twice, and with other settings."""

import json
import pathlib

import pytest

from keras_performer.cli import main as command_line

WORDS = {
    "sea": "ship sail storm wave anchor harbour whale captain ",
    "farm": "field plough barn horse wheat fence cattle meadow ",
}
SMALL = "--tokenizer bytes --context-length 128 --tokens-per-batch 1024 --num-layers 1"
SMALL += " --num-heads 2 --hidden-dim 16 --intermediate-dim 16 --learning-rate 0.01"
SMALL += " --feature-map softmax --num-features 8"


def write_corpus(directory):
    for split, files in (("train", 12), ("test", 4)):
        for label, words in WORDS.items():
            folder = directory / split / label
            folder.mkdir(parents=True)
            for index in range(files):
                (folder / f"{index}.txt").write_text(words * (4 + index))
    (directory / "test" / "sea" / "long.txt").write_text(WORDS["sea"] * 1300)


@pytest.mark.slow
def test_the_demo_on_given_documents(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_corpus(tmp_path / "data")
    demo = ["demo", "--data", "data", *SMALL.split()]
    assert command_line.main([*demo, "--epochs", "3"]) == 0
    first = capsys.readouterr().out
    for line in ("majority class", "TF-IDF + logistic regression", "Performer"):
        assert line in first
    assert "long.txt" in first and "65,000 bytes" in first
    assert "label        sea" in first
    assert "MiB at its peak" in first
    assert "in a batch with 3 others" in first
    assert not set("\r\b\x1b") & set(first)  # a log has no bar redrawn in it

    assert command_line.main([*demo, "--epochs", "3", "--json"]) == 0
    again = capsys.readouterr()
    assert "Trained before" in again.err
    measured = json.loads(again.out)
    assert measured["served"]["label"] == measured["served"]["class"] == "sea"
    assert measured["performer"]["num_documents"] == 9
    assert pathlib.Path(measured["export"]).is_dir()
    versions = pathlib.Path("saved_models/documents")
    assert [path.name for path in versions.iterdir()] == ["1"]

    assert command_line.main([*demo, "--epochs", "1"]) == 0
    assert "Trained before" not in capsys.readouterr().out
    assert sorted(path.name for path in versions.iterdir()) == ["1", "2"]
