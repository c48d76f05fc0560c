"""`keras-performer predict`: asks a running server for the labels of files."""

import argparse
import codecs
import os
import pathlib

from keras_performer.server import ServerAnswerError, predict


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    texts = [read_text(path) for path in arguments.files]
    for path, text in zip(arguments.files, texts, strict=True):
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
        print(f"{path}\t{row['label']}\t{max(row['probabilities']):.4f}")


def read_text(path: str | os.PathLike[str]) -> str:
    """Reads a UTF-8 file.

    Args:
        path: The file.

    Returns:
        Its text, without a byte order mark, as training reads it.

    Raises:
        ValueError: If it is not UTF-8.
    """
    data = pathlib.Path(path).read_bytes()
    try:
        return data.removeprefix(codecs.BOM_UTF8).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"The file {path!r} is not UTF-8 text: byte {error.start} does not decode. "
            f"Convert it first, for instance: iconv -f latin1 -t utf8 {path}"
        ) from error
