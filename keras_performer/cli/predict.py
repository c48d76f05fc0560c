"""`keras-performer predict`: labels of documents, by a server or by a local model."""

import argparse
import functools
import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from keras_performer.cli.answers import Answer, LabelAnswer, answer_of_row
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
            answer = _ask_for(ask, arguments.model_name, path, text)
            if not arguments.json:
                print(path, *answer.columns(), sep="\t")
                continue
            if isinstance(answer, LabelAnswer) and not labels:
                number = len(answer.probabilities)
                labels = ask(range(number), signature_name="labels")
            write_json({"path": path, **answer.fields(labels)})


def _ask_for(
    ask: Callable[[list[str]], list[Any]], model_name: str, path: str, text: str
) -> Answer:
    try:
        [row] = ask([text])
    except ServerAnswerError as error:
        raise ValueError(f"{path}: {error}") from error
    answer = answer_of_row(row)
    if answer is None:
        raise ValueError(
            f"The model {model_name!r} answers no `label` and "
            "`probabilities`, so it is no document classifier. Name one with "
            f"--model_name. It answered: {str(row)[:200]}"
        )
    return answer
