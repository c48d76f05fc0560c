"""The table of accuracies that `train` and `demo` print, and its file."""

import dataclasses
import importlib.util
import json
import os
from typing import Any

from keras_performer.extras import pip_line
from keras_performer.text import Documents, Tokenizer
from keras_performer.training import RunFolder
from keras_performer.training.baselines import evaluate_baselines
from keras_performer.training.checkpoints.atomic_write import atomic_write_text
from keras_performer.training.evaluation import predict_experts


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
        for name, answers in predictions.items():
            evaluation = answers.accuracy(test.label_ids)
            measured[name] = dataclasses.asdict(evaluation)
        if "ngrams" in predictions:
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
    measured = evaluate_baselines(train, test, window_bytes)
    return {"baselines": dataclasses.asdict(measured), "window_bytes": window_bytes}


def _bytes_per_token(documents: Documents, tokenizer: Tokenizer) -> float:
    num_bytes = num_tokens = 0
    for text, _ in documents.dataset().take(50):
        num_bytes += len(text.numpy())
        num_tokens += int(tokenizer.tokenize(text[None]).flat_values.shape[0])
    return num_bytes / num_tokens


def _print(measured: dict[str, Any]) -> None:
    performer = measured["performer"]
    print()
    print(
        f"Accuracy on {performer['num_documents']} unseen documents, "
        f"{performer['num_windows']} windows of {measured['context_length']} tokens:"
    )
    print(f"{'':34}{'window':>10}{'document':>10}{'whole':>10}")
    if "baselines" in measured:
        b = measured["baselines"]
        _row("majority class", b["majority_window"], b["majority_document"])
        _row("TF-IDF + logistic regression", b["tfidf_window"], b["tfidf_document"])
    for name, title in (
        ("ngrams", "Performer's n-grams alone"),
        ("encoder", "Performer's encoder alone"),
        ("performer", "Performer"),
    ):
        if name in measured:
            _row(title, *(measured[name][x] for x in ("windows", "documents", "whole")))
    print(
        "(document: the mean of its windows' log probabilities; whole: the document "
        "read in one piece)\n"
    )
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


def _row(name: str, *shares: float) -> None:
    print(f"{name:<34}" + "".join(f"{share:>10.1%}" for share in shares))
