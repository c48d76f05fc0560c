"""The way a user goes: train, export, serve, predict, by the command line alone."""

import json
import shlex

from keras_performer.cli import main as command_line
from keras_performer.server import ServerOptions, ServerProcess

WORDS = {
    "sea": "ship sail storm wave anchor harbour whale captain ",
    "farm": "field plough barn horse wheat fence cattle meadow ",
}


LENGTH = 512  # of all documents, so that few shapes are compiled


def write_corpus(directory):
    for split, files in (("train", 12), ("test", 4)):
        for label, words in WORDS.items():
            folder = directory / split / label
            folder.mkdir(parents=True)
            for index in range(files):
                text = (words * LENGTH)[index : index + LENGTH]
                (folder / f"{index}.txt").write_text(text)


def test_the_whole_way(tmp_path, capsys):
    write_corpus(tmp_path / "data")
    small = "--tokenizer bytes --context-length 128 --tokens-per-batch 1024 --epochs 2"
    small += " --num-layers 1 --num-heads 2 --hidden-dim 16 --intermediate-dim 16"
    small += " --learning-rate 0.01 --feature-map softmax --num-features 8"
    small += " --ngram-buckets 4096 --ngram-epochs 3"
    run, models = str(tmp_path / "run"), str(tmp_path / "saved_models")
    data = str(tmp_path / "data")
    train = ["train", "--data", data, "--run", run, *small.split()]
    assert command_line.main(train) == 0
    table = capsys.readouterr().out
    # The printed line runs as it is; here into another folder and under another name.
    printed = shlex.split(table.splitlines()[-1])
    assert printed == ["Next:", "keras-performer", "export", "--run", run]
    for row in ("majority class", "TF-IDF + logistic regression", "Performer"):
        assert row in table
    measured = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert measured["performer"]["documents"] >= 0.75
    assert measured["baselines"]["majority_document"] == 0.5

    export = ["--saved-models", models, "--name", "texts"]
    # Trained and measured before: only the figures again, now as JSON.
    assert command_line.main([*train, "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"run": run, **measured}
    assert "Trained before" in captured.err and "Next:" in captured.err

    assert command_line.main([*printed[2:], *export]) == 0
    serve, predict = map(shlex.split, capsys.readouterr().out.splitlines()[-2:])
    assert serve[:2] == ["keras-performer", "serve"]
    served = command_line.parser().parse_args(serve[1:])
    assert (served.model_name, served.model_base_path) == ("texts", f"{models}/texts")
    assert predict == ["keras-performer", "predict", "--model_name=texts", "FILE"]

    options = ServerOptions(
        model_name="texts", model_base_path=f"{models}/texts", rest_api_port=0
    )
    files = [str(tmp_path / "data" / "test" / label / "3.txt") for label in WORDS]
    with ServerProcess(options) as server:
        answered = [*predict[1:-1], "--url", server.url, *files]
        assert command_line.main(answered) == 0
        rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
        assert [row[:2] for row in rows] == [[files[0], "sea"], [files[1], "farm"]]
        assert all(0.5 < float(row[2]) <= 1 for row in rows)

        assert command_line.main([*answered, "--json"]) == 0
        answers = list(map(json.loads, capsys.readouterr().out.splitlines()))
        for answer, row in zip(answers, rows, strict=True):
            assert [answer["path"], answer["label"]] == row[:2]
            probability = answer["probabilities"][answer["label"]]
            assert f"{probability:.4f}" == row[2]
            assert list(answer["probabilities"]) == ["farm", "sea"]

        wrong = ["predict", "--url", server.url, "--model_name", "other", files[0]]
        assert command_line.main(wrong) == 2
        assert "other" in capsys.readouterr().err
