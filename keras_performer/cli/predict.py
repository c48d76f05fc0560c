"""`keras-performer predict`: labels of documents, by a server or by a local model."""

import argparse
import functools
import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from keras_performer.cli.output import json_output
from keras_performer.cli.texts import read_text, text_paths
from keras_performer.server import ServerAnswerError, predict


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; returns 2 where a file could not be read."""
    if arguments.run_folder is not None or arguments.model is not None:
        # Imported now: asking a server needs no TensorFlow, which takes seconds.
        return importlib.import_module(f"{__package__}.local_predict").run(arguments)
    if arguments.text_column is not None:
        raise ValueError("--text-column needs a local model: pass --run or --model.")
    _ask(arguments, text_paths(arguments.files))
    return 0


def answer(
    path: str, label: str, labels: Sequence[str], row: Sequence[float]
) -> dict[str, Any]:
    """Returns what `--json` writes for a document.

    Args:
        path: Where the document is.
        label: Its label.
        labels: Names of the classes.
        row: Their probabilities.
    """
    probabilities = dict(zip(labels, row, strict=True))
    return {"path": path, "label": label, "probabilities": probabilities}


def _ask(arguments: argparse.Namespace, paths: Sequence[str]) -> None:
    """Asks a server, one document a request."""
    texts = [read_text(path) for path in paths]
    token = None
    if arguments.api_token_file is not None:
        lines = Path(arguments.api_token_file).read_text(encoding="utf-8")
        token = lines.partition("\n")[0].strip()
    ask = functools.partial(
        predict,
        arguments.url,
        arguments.model_name,
        timeout=arguments.timeout,
        api_token=token,
    )
    labels: list[Any] = []
    with json_output(arguments.json) as write_json:
        for path, text in zip(paths, texts, strict=True):
            row = _ask_for(ask, arguments.model_name, path, text)
            if not arguments.json:
                print(f"{path}\t{row['label']}\t{max(row['probabilities']):.4f}")
                continue
            if not labels:
                number = len(row["probabilities"])
                labels = ask(range(number), signature_name="labels")
            write_json(answer(path, row["label"], labels, row["probabilities"]))


def _ask_for(
    ask: Callable[[list[str]], list[Any]], model_name: str, path: str, text: str
) -> dict[str, Any]:
    try:
        [row] = ask([text])
    except ServerAnswerError as error:
        raise ValueError(f"{path}: {error}") from error
    if not isinstance(row, dict) or not {"label", "probabilities"} <= row.keys():
        raise ValueError(
            f"The model {model_name!r} answers no `label` and "
            "`probabilities`, so it is no document classifier. Name one with "
            f"--model_name. It answered: {str(row)[:200]}"
        )
    return row
