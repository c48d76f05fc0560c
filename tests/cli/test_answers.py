"""Answers of a model and of a server: one label, several, or a number."""

import pytest

from keras_performer.cli import main as command_line
from keras_performer.cli.answers import ANSWERS, answer_of_row

ROWS = {
    "single_label": {"label": "war", "probabilities": [0.25, 0.75]},
    "multi_label": {"classes": ["sea", "war"], "probabilities": [0.25, 0.75]},
    "regression": 1914.0,
}


@pytest.mark.parametrize(
    ("problem", "outputs", "columns", "fields"),
    [
        (
            "single_label",
            [0.25, 0.75],
            ["war", "0.7500"],
            {"label": "war", "probabilities": {"sea": 0.25, "war": 0.75}},
        ),
        (
            "multi_label",
            [0.25, 0.75],
            ["war", "0.7500"],
            {"labels": ["war"], "probabilities": {"sea": 0.25, "war": 0.75}},
        ),
        ("regression", [1914.0], ["1914"], {"value": 1914.0}),
    ],
)
def test_a_server_answers_as_a_model_does(problem, outputs, columns, fields):
    labels = ("sea", "war")
    for answer in (
        ANSWERS[problem].of_outputs(labels, outputs),
        answer_of_row(ROWS[problem]),
    ):
        assert answer.columns() == columns
        assert answer.fields(labels) == fields


def test_several_labels_and_none():
    many = answer_of_row({"classes": ["sea", "war"], "probabilities": [0.5, 0.75]})
    assert many.columns() == ["sea|war", "0.5000|0.7500"]
    none = answer_of_row({"classes": ["sea", "war"], "probabilities": [0.1, 0.2]})
    assert none.columns() == ["", ""]
    assert none.fields(())["labels"] == []


@pytest.mark.parametrize("row", [{"embedding": [1.0]}, [1.0], "text", True, None])
def test_answers_of_other_models(row):
    assert answer_of_row(row) is None


@pytest.mark.parametrize(
    ("problem", "printed"),
    [("multi_label", "war\t0.7500\n"), ("regression", "1914\n")],
)
def test_what_a_server_answers_is_printed(
    tmp_path, capsys, monkeypatch, problem, printed
):
    path = tmp_path / "a.txt"
    path.write_text("a")
    monkeypatch.setattr(
        "keras_performer.cli.predict.predict",
        lambda url, name, instances, **arguments: [ROWS[problem]],
    )
    assert command_line.main(["predict", str(path)]) == 0
    assert capsys.readouterr().out == f"{path}\t{printed}"
