"""The table of accuracies that `train` and `demo` print, and its file."""

import dataclasses
import importlib.util
import json
import os
from typing import Any

from keras_performer.cli.target_report import TITLES
from keras_performer.extras import pip_line
from keras_performer.models.problems import get_problem
from keras_performer.text import Documents, Tokenizer
from keras_performer.training import RunFolder
from keras_performer.training.baselines import evaluate_baselines
from keras_performer.training.checkpoints.atomic_write import atomic_write_text
from keras_performer.training.evaluation import ClassifierPredictions, predict_experts
from keras_performer.training.target_baselines import evaluate_target_baselines


def evaluate(
    run_folder: str | os.PathLike[str], baselines: bool = True
) -> dict[str, Any]:
    """Measures a trained classifier on its test documents and prints a table.

    The figures of the model are printed and saved before the baselines are measured.

    Measured once: the figures are kept in the run folder. Baselines that were left out
    then are measured when they are asked for.

    Args:
        run_folder: Folder of the training.
        baselines: Whether to measure the baselines too; they need scikit-learn and
            are left out, with a line that says so, where it is not installed.

    Returns:
        Dictionary of what was measured.
    """
    folder = RunFolder(run_folder)
    measured = {}
    if folder.evaluation_path.exists():
        measured = json.loads(folder.evaluation_path.read_text())
    settings, tokenizer = folder.settings(), folder.tokenizer()
    train, test = settings.find_train_test()
    if "performer" not in measured:
        print(f"Measuring on {len(test)} test documents ...", flush=True)
        predictions = predict_experts(
            folder.model(),
            tokenizer,
            test,
            settings.context_length,
            settings.tokens_per_batch,
        )
        measured["context_length"] = settings.context_length
        measured["problem"] = test.problem
        for name, answers in predictions.items():
            measured[name] = _measure(answers, test)
        if "ngrams" in predictions and test.problem == "single_label":
            ours, ngrams = predictions["performer"], predictions["ngrams"]
            gains = ours.gain_over(ngrams, test.label_ids)
            measured["gain_over_ngrams"] = {name: [*x] for name, x in gains.items()}
        _save(folder, measured)
    # Before the baselines, which take time and memory of their own.
    _print(measured)
    if baselines and "baselines" not in measured:
        found = _measure_baselines(train, test, tokenizer, settings.context_length)
        if found:
            measured |= found
            _save(folder, measured)
            _print(measured)
    return measured


def _measure(answers: ClassifierPredictions, test: Documents) -> dict[str, Any]:
    if test.problem == "single_label":
        return dataclasses.asdict(answers.accuracy(test.label_ids))
    numbers = {"num_windows": len(answers.owners), "num_documents": len(test)}
    return {**answers.measures(test.problem, test.targets), **numbers}


def _save(folder: RunFolder, measured: dict[str, Any]) -> None:
    atomic_write_text(folder.evaluation_path, json.dumps(measured, indent=2) + "\n")


def _measure_baselines(
    train: Documents, test: Documents, tokenizer: Tokenizer, context_length: int
) -> dict[str, Any]:
    if importlib.util.find_spec("sklearn") is None:
        print(f"No baselines: {pip_line('baselines')} brings them.")
        return {}
    window_bytes = round(context_length * _bytes_per_token(test, tokenizer))
    print(f"Measuring baselines on windows of {window_bytes} bytes ...", flush=True)
    if test.problem == "single_label":
        found = dataclasses.asdict(evaluate_baselines(train, test, window_bytes))
    else:
        found = evaluate_target_baselines(train, test, window_bytes)
    return {"baselines": found, "window_bytes": window_bytes}


def _bytes_per_token(documents: Documents, tokenizer: Tokenizer) -> float:
    num_bytes = num_tokens = 0
    for text, _ in documents.dataset().take(50):
        num_bytes += len(text.numpy())
        num_tokens += int(tokenizer.tokenize(text[None]).flat_values.shape[0])
    return num_bytes / num_tokens


def _print(measured: dict[str, Any]) -> None:
    performer = measured["performer"]
    problem = get_problem(measured.get("problem", "single_label"))
    what = "Accuracy on" if problem.name == "single_label" else "On"
    print()
    print(
        f"{what} {performer['num_documents']} unseen documents, "
        f"{performer['num_windows']} windows of {measured['context_length']} tokens:"
    )
    formats, rows = problem.formats, _rows(measured)
    for name, form in formats.items():
        title = TITLES[name] if len(formats) > 1 else ""
        print(f"{title:<34}{'window':>10}{'document':>10}{'whole':>10}")
        for of_row, readings in rows.items():
            figures = (format(x[name], form) for x in readings)
            print(f"{of_row:<34}" + "".join(f"{figure:>10}" for figure in figures))
    print(f"(document: {problem.joined}; whole: the document read in one piece)\n")
    if "gain_over_ngrams" in measured:
        gains = (
            f"{x:+.1%} ± {e:.1%}" for x, e in measured["gain_over_ngrams"].values()
        )
        print(
            "(what the encoder adds to the n-grams, in pairs, with its standard error: "
            f"{', '.join(gains)})\n"
        )
    baselines = measured.get("baselines", {})
    sampled = baselines.get("num_test_documents", performer["num_documents"])
    if sampled < performer["num_documents"]:
        print(f"(TF-IDF on a sample of {sampled} of these documents)\n")


def _rows(measured: dict[str, Any]) -> dict[str, list[dict[str, float]]]:
    """The rows of the tables: of each reading its measures."""
    rows: dict[str, list[Any]] = {}
    baselines = measured.get("baselines", {})
    if "tfidf_window" in baselines:
        for name, title in (
            ("majority", "majority class"),
            ("tfidf", "TF-IDF + logistic regression"),
        ):
            rows[title] = [baselines[f"{name}_{x}"] for x in ("window", "document")]
    for title, row in baselines.get("rows", {}).items():
        rows[title] = [row["windows"], row["documents"]]
    for name, title in (
        ("ngrams", "Performer's n-grams alone"),
        ("encoder", "Performer's encoder alone"),
        ("performer", "Performer"),
    ):
        if name in measured:
            rows[title] = [measured[name][x] for x in ("windows", "documents", "whole")]
    return {
        title: [x if isinstance(x, dict) else {"accuracy": x} for x in readings]
        for title, readings in rows.items()
    }
