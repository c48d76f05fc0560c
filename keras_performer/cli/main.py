"""The command `keras-performer`: parses the command line and calls one command."""

import argparse
import importlib
import os
import sys
from collections.abc import Iterable, Sequence

from keras_performer import __version__

COMMANDS = {
    "train": "train a classifier on a folder of documents",
    "export": "write a trained classifier as a SavedModel that takes raw text",
    "serve": "serve exported models over HTTP, as TensorFlow Serving does",
    "predict": "ask a running server for the labels of files",
    "demo": "run all steps on documents that every machine has",
    "plan": "compile a training step for TPU chips, without a TPU",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs `keras-performer`.

    Args:
        arguments: List of arguments; defaults to the command line's.

    Returns:
        Exit status: 0, what the command says, or 2 after an error in what was given.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    parsed = parser(COMMANDS.keys() & arguments).parse_args(arguments)
    try:
        return parsed.run(parsed) or 0
    except (ValueError, OSError, ImportError, RuntimeError) as error:
        if os.environ.get("KERAS_PERFORMER_TRACEBACK"):
            raise
        print(f"keras-performer {parsed.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            "\nInterrupted. A training goes on after its last checkpoint when the "
            "same command is given again.",
            file=sys.stderr,
        )
        return 130


def parser(commands: Iterable[str] = COMMANDS) -> argparse.ArgumentParser:
    """Returns the argument parser of `keras-performer`.

    Args:
        commands: Names of the commands whose flags it knows. Only their modules are
            imported: most of them need TensorFlow, which takes seconds.

    Example:

    >>> parser().parse_args(["export", "--run", "runs/books"]).run_folder
    'runs/books'
    """
    top = argparse.ArgumentParser(
        prog="keras-performer",
        description="Linear-time attention for Keras: classify documents of any "
        "length, from a folder of files to answers over HTTP.",
        epilog="The steps: train -> export -> serve -> predict. `demo` runs them all. "
        "`keras-performer COMMAND --help` explains each. With "
        "KERAS_PERFORMER_TRACEBACK=1 in the environment, errors come with a traceback; "
        "with TF_CPP_MIN_LOG_LEVEL=3, TensorFlow keeps its notices to itself.",
    )
    top.add_argument("--version", action="version", version=__version__)
    subparsers = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in COMMANDS.items():
        if name in commands:
            module = importlib.import_module(f"keras_performer.cli.{name}")
            module.add_parser(subparsers, text)
        else:
            subparsers.add_parser(name, help=text)
    return top
