"""`keras-performer pretrain`: what it prints, and the line that comes next."""

import importlib
import json
import pathlib
import shlex

from keras_performer.cli import main as command_line

MEASURED = {
    "accuracy": 0.25,
    "perplexity": 40.0,
    "unigram_accuracy": 0.05,
    "unigram_perplexity": 900.0,
    "num_tokens": 1234,
}


def test_accuracy_beside_the_frequencies_and_the_next_command(
    tmp_path, capsys, monkeypatch
):
    def pretrain_encoder(settings, run_folder, verbose, tensorboard):
        assert settings.problem == "unlabelled" and settings.num_layers == 4
        pathlib.Path(run_folder).mkdir(exist_ok=True)
        if settings.validation_fraction:
            text = json.dumps(MEASURED)
            (pathlib.Path(run_folder) / "evaluation.json").write_text(text)
        print("a message")

    module = importlib.import_module("keras_performer.cli.pretrain")
    monkeypatch.setattr(module, "pretrain_encoder", pretrain_encoder)
    run = str(tmp_path / "a run")
    flags = ["--num-layers=4", "--problem=unlabelled", "--dropout=0.2"]
    words = ["pretrain", "--data", "texts", "--run", run, *flags]
    assert command_line.main([*words, "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"run": run, **MEASURED}
    assert "a message" in captured.err
    lines = captured.err.splitlines()
    assert "1,234 masked tokens" in captured.err
    assert any(line.split() == ["frequencies", "5.0%", "900.0"] for line in lines)
    assert any(line.split() == ["Performer", "25.0%", "40.0"] for line in lines)
    printed = shlex.split(lines[-1])
    assert printed[:3] == ["Next:", "keras-performer", "train"]
    parsed = command_line.parser().parse_args(printed[2:])
    # Of its settings those that the classifier must have too.
    assert (parsed.pretrained, parsed.num_layers, parsed.dropout) == (run, 4, 0.1)

    (tmp_path / "a run" / "evaluation.json").unlink()
    assert command_line.main([*words, "--validation-fraction=0"]) == 0
    assert "masked tokens" not in capsys.readouterr().out
