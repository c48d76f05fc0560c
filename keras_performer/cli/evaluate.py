"""`keras-performer evaluate`: a trained classifier on documents with labels."""

import argparse
import dataclasses
import os
import pathlib
import sys
from typing import Any

import numpy as np

from keras_performer.cli.output import json_output
from keras_performer.cli.target_report import (
    measure_targets,
    print_classes,
    print_targets,
)
from keras_performer.text import Documents, find_documents
from keras_performer.training import RunFolder
from keras_performer.training.evaluation import (
    ClassifierPredictions,
    ConfusionMatrix,
    calibration_error,
    predict_classifier,
    worst_errors,
)
from keras_performer.training.evaluation.confusion_matrix import figure_class


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    problem = RunFolder(arguments.run_folder).settings().problem
    if arguments.png and problem != "single_label":
        raise ValueError(
            f"--png draws the confusion matrix, which a training with problem="
            f"{problem!r} does not have: one label a document is needed. Leave it out."
        )
    if arguments.png:
        figure_class()  # says now what is missing, not after minutes
    with json_output(arguments.json) as write_json:
        measured, matrix = measure(arguments)
        if arguments.png and matrix is not None:
            matrix.save_picture(arguments.png)
        if arguments.json:
            write_json(measured)
        elif matrix is not None:
            _print(measured, matrix)
        else:
            print_targets(measured)


def measure(
    arguments: argparse.Namespace,
) -> tuple[dict[str, Any], ConfusionMatrix | None]:
    """Measures what the command prints.

    Args:
        arguments: Parsed arguments.

    Returns:
        Pair of the JSON document and the confusion matrix, `None` where documents have
        several labels or a number.
    """
    folder = RunFolder(arguments.run_folder)
    settings = folder.settings()
    documents = _documents(arguments, folder)
    print(f"Measuring on {len(documents)} documents ...", file=sys.stderr, flush=True)
    predictions = predict_classifier(
        folder.model(),
        folder.tokenizer(),
        documents,
        settings.context_length,
        arguments.tokens_per_batch or settings.tokens_per_batch,
    )
    measured: dict[str, Any] = {
        "run": os.fspath(arguments.run_folder),
        "context_length": settings.context_length,
        "num_documents": len(documents),
        "num_windows": len(predictions.owners),
        "by": arguments.by,
    }
    if settings.problem != "single_label":
        return measured | measure_targets(
            documents, predictions, arguments.by, arguments.errors
        ), None
    of_classes, matrix = _measure_classes(arguments, documents, predictions)
    return measured | of_classes, matrix


def _measure_classes(
    arguments: argparse.Namespace,
    documents: Documents,
    predictions: ClassifierPredictions,
) -> tuple[dict[str, Any], ConfusionMatrix]:
    accuracy = predictions.accuracy(documents.label_ids)
    owners = np.arange(len(documents))
    probabilities = predictions.whole
    if arguments.by == "document":
        probabilities = predictions.documents
    elif arguments.by == "window":
        probabilities, owners = predictions.windows, predictions.owners
    truth = np.asarray(documents.label_ids)[owners]
    matrix = ConfusionMatrix(truth, probabilities.argmax(-1), documents.labels)
    measured = {
        "accuracy": {
            "window": accuracy.windows,
            "document": accuracy.documents,
            "whole": accuracy.whole,
        },
        "classes": {
            label: dataclasses.asdict(scores)
            for label, scores in matrix.scores().items()
        },
        "macro_average": dataclasses.asdict(matrix.mean()),
        "weighted_average": dataclasses.asdict(matrix.mean(weighted=True)),
        "confusion_matrix": matrix.counts.tolist(),
        "calibration": dataclasses.asdict(
            calibration_error(probabilities, truth, arguments.bins)
        ),
        "errors": [
            {
                "path": documents.name(int(owners[index])),
                "label": documents.labels[truth[index]],
                "label_probability": float(probabilities[index, truth[index]]),
                "predicted": documents.labels[probabilities[index].argmax()],
                "predicted_probability": float(probabilities[index].max()),
            }
            for index in worst_errors(probabilities, truth, arguments.errors)
        ],
    }
    return measured, matrix


def _documents(arguments: argparse.Namespace, folder: RunFolder) -> Documents:
    settings, labels = folder.settings(), folder.labels()
    if arguments.data is None:
        _, documents = settings.find_train_test()
    else:
        test = pathlib.Path(arguments.data, "test")
        data = test if test.is_dir() else arguments.data
        documents = find_documents(
            data,
            labels,
            settings.max_bytes,
            arguments.text_column or settings.text_column,
            arguments.label_column or settings.label_column,
            settings.problem,
            arguments.label_separator or settings.label_separator,
        )
    if documents.labels != labels:
        raise ValueError(
            f"The documents have the classes {list(documents.labels)}, and the "
            f"training in {str(folder.path)!r} has {list(labels)}. Expected the same: "
            "pass documents of these classes with --data."
        )
    return documents


def _print(measured: dict[str, Any], matrix: ConfusionMatrix) -> None:
    accuracy = measured["accuracy"]
    print(
        f"Accuracy on {measured['num_documents']} documents, {measured['num_windows']} "
        f"windows of {measured['context_length']} tokens:\n"
        f"  by window {accuracy['window']:.1%}, by document {accuracy['document']:.1%},"
        f" read whole {accuracy['whole']:.1%}\n"
    )
    rows = {
        **measured["classes"],
        "macro average": measured["macro_average"],
        "weighted average": measured["weighted_average"],
    }
    answers = {"whole": "documents read whole", "document": "documents by windows"}
    print(f"By class, of {answers.get(measured['by'], 'windows')}:")
    print_classes(rows)
    print("\nConfusion matrix (a row a true class, a column a predicted one):")
    print(matrix.text())
    calibration = measured["calibration"]
    print(
        f"\nExpected calibration error: {calibration['error']:.1%}\n"
        "  probability of the predicted class    number      mean   right"
    )
    for row in calibration["bins"]:
        print(
            f"  {row['low']:>20.2f} to {row['high']:.2f}{row['number']:>17}"
            f"{row['confidence']:>10.2f}{row['accuracy']:>8.1%}"
        )
    if measured["errors"]:
        print("\nWorst errors (true class and predicted class, with probabilities):")
    for row in measured["errors"]:
        print(
            f"  {row['path']}\n    {row['label']} {row['label_probability']:.3f}, "
            f"{row['predicted']} {row['predicted_probability']:.3f}"
        )
