"""What `evaluate` says of several labels and of numbers."""

import dataclasses
from typing import Any

from keras_performer.cli.answers import ANSWERS
from keras_performer.models.problems import get_problem
from keras_performer.text import Documents
from keras_performer.training.evaluation import (
    ClassifierPredictions,
    label_scores,
    worst_errors,
)

READINGS = {"window": "windows", "document": "documents", "whole": "whole"}
TITLES = {
    "accuracy": "Accuracy",
    "micro_f1": "Micro F1",
    "macro_f1": "Macro F1",
    "exact_match": "Exact match",
    "r2": "R²",
    "rmse": "Root mean squared error",
    "mae": "Mean absolute error",
}


def measure_targets(
    documents: Documents,
    predictions: ClassifierPredictions,
    by: str,
    num_errors: int,
) -> dict[str, Any]:
    """Measures what the command prints.

    Args:
        documents: The `Documents`.
        predictions: What the model says of them.
        by: `"whole"`, `"document"` or `"window"`: which answers the labels and the
            errors are of.
        num_errors: Largest number of errors.

    Returns:
        A part of the JSON document.
    """
    problem, targets = documents.problem, documents.targets
    outputs = getattr(predictions, READINGS[by])
    owners = predictions.owners if by == "window" else range(len(documents))
    truth = targets[owners]
    by_reading = predictions.measures(problem, targets)
    measured: dict[str, Any] = {
        "problem": problem,
        "measures": {name: by_reading[key] for name, key in READINGS.items()},
    }
    if documents.labels:
        scores = label_scores(truth, outputs, documents.labels)
        measured["classes"] = {k: dataclasses.asdict(v) for k, v in scores.items()}
    answer = ANSWERS[problem].of_outputs
    measured["errors"] = []
    for index in worst_errors(outputs, truth, num_errors, problem):
        target = documents.label_ids[owners[index]]
        if documents.labels:
            target = [documents.labels[label_id] for label_id in target]
        predicted = answer(documents.labels, outputs[index].tolist())
        measured["errors"].append(
            {
                "path": documents.name(int(owners[index])),
                "target": target,
                **predicted.fields(documents.labels),
            }
        )
    return measured


def print_targets(measured: dict[str, Any]) -> None:
    """Prints the tables.

    Args:
        measured: The JSON document of the command.
    """
    formats = get_problem(measured["problem"]).formats
    print(
        f"On {measured['num_documents']} documents, {measured['num_windows']} windows "
        f"of {measured['context_length']} tokens:"
    )
    print(f"  {'':24}" + "".join(f"{reading:>10}" for reading in READINGS))
    for name, form in formats.items():
        row = (measured["measures"][reading][name] for reading in READINGS)
        print(f"  {TITLES[name]:24}" + "".join(f"{format(x, form):>10}" for x in row))
    if "classes" in measured:
        print_classes(measured["classes"])
    if measured["errors"]:
        print("\nWorst errors (what is true and what was answered):")
    for row in measured["errors"]:
        found = row["value"] if "value" in row else row["labels"]
        print(f"  {row['path']}\n    {_text(row['target'])}: {_text(found)}")


def print_classes(rows: dict[str, dict[str, Any]]) -> None:
    """Prints precision, recall and F1.

    Args:
        rows: From a name to the fields of `ClassScores`.
    """
    width = max(map(len, rows))
    print(f"  {'':{width}} precision    recall        F1   support")
    for name, row in rows.items():
        shares = "".join(f"{row[key]:>10.1%}" for key in ("precision", "recall", "f1"))
        print(f"  {name:{width}}{shares}{row['support']:>10}")


def _text(answer: float | list[str]) -> str:
    if isinstance(answer, list):
        return ", ".join(answer) or "no label"
    return f"{answer:.6g}"
