"""`keras-performer predict`: labels of documents, by a server or by a local model."""

import argparse
import importlib
from collections.abc import Sequence
from typing import Any

from keras_performer.cli.output import json_output
from keras_performer.cli.texts import TextBlocks, read_text, text_paths
from keras_performer.server import ServerAnswerError, predict


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; returns 2 where a file could not be read."""
    paths = text_paths(arguments.files)
    if arguments.run_folder is None and arguments.model is None:
        return _ask(arguments, paths)
    # Imported now: asking a server needs no TensorFlow, which takes seconds.
    local = importlib.import_module(f"{__package__}.local_model")
    blocks = TextBlocks(paths)
    with json_output(arguments.json) as write_json:
        model = local.local_model(arguments)
        for names, texts in blocks:
            for path, row in zip(names, model.probabilities(texts), strict=True):
                label = model.labels[row.argmax()]
                if arguments.json:
                    write_json(_answer(path, label, model.labels, row.tolist()))
                else:
                    print(f"{path}\t{label}\t{row.max():.4f}", flush=True)
    return 2 if blocks.num_failures else 0


def _ask(arguments: argparse.Namespace, paths: Sequence[str]) -> int:
    """Asks a server, one document a request."""
    texts = [read_text(path) for path in paths]
    labels: list[Any] = []
    with json_output(arguments.json) as write_json:
        for path, text in zip(paths, texts, strict=True):
            row = _ask_for(arguments, path, text)
            if not arguments.json:
                print(f"{path}\t{row['label']}\t{max(row['probabilities']):.4f}")
                continue
            labels = labels or _ask_labels(arguments, len(row["probabilities"]))
            write_json(_answer(path, row["label"], labels, row["probabilities"]))
    return 0


def _ask_for(arguments: argparse.Namespace, path: str, text: str) -> dict[str, Any]:
    try:
        [row] = predict(
            arguments.url, arguments.model_name, [text], timeout=arguments.timeout
        )
    except ServerAnswerError as error:
        raise ValueError(f"{path}: {error}") from error
    if not isinstance(row, dict) or not {"label", "probabilities"} <= row.keys():
        raise ValueError(
            f"The model {arguments.model_name!r} answers no `label` and "
            "`probabilities`, so it is no document classifier. Name one with "
            f"--model_name. It answered: {str(row)[:200]}"
        )
    return row


def _ask_labels(arguments: argparse.Namespace, number: int) -> list[Any]:
    return predict(
        arguments.url,
        arguments.model_name,
        range(number),
        signature_name="labels",
        timeout=arguments.timeout,
    )


def _answer(
    path: str, label: str, labels: Sequence[str], row: Sequence[float]
) -> dict[str, Any]:
    probabilities = dict(zip(labels, row, strict=True))
    return {"path": path, "label": label, "probabilities": probabilities}
