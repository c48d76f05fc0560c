"""The command `keras-performer`: parses the command line and calls one command."""

import argparse
import contextlib
import importlib
import os
import sys
from collections.abc import Sequence

from keras_performer import __version__
from keras_performer.cli.arguments import (
    demo,
    embed,
    evaluate,
    explain,
    export,
    plan,
    predict,
    pretrain,
    serve,
    train,
)

COMMANDS = {
    train: "train a classifier on a folder of documents",
    pretrain: "train an encoder on texts alone, for `train` to start from",
    evaluate: "measure a trained classifier: by class, calibration, errors",
    export: "write a trained classifier as a SavedModel that takes raw text",
    serve: "serve exported models over HTTP, as TensorFlow Serving does",
    predict: "tell the labels of documents, by a local model or a running server",
    explain: "show which passages of a document spoke for its label",
    embed: "write vectors of documents, find the nearest of each",
    demo: "run all steps on documents that every machine has",
    plan: "compile a training step for TPU chips, without a TPU",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs `keras-performer`.

    Args:
        arguments: List of arguments; defaults to the command line's.

    Returns:
        Exit status: 0, what the command says, or 2 after an error in what was given.
    """
    parsed = parser().parse_args(arguments)
    # Else every command says first that there is no GPU, as an error of CUDA. Errors
    # of TensorFlow's that matter come as exceptions.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        # Imported now: most commands need TensorFlow, which takes seconds.
        command = importlib.import_module(f"keras_performer.cli.{parsed.command}")
        return command.run(parsed) or 0
    except BrokenPipeError:
        # What reads the output has seen enough, as `head` has. Nothing is left to be
        # written to it when the program ends.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141  # as of a program that the signal of a broken pipe ends
    except (ValueError, OSError, ImportError, RuntimeError) as error:
        if os.environ.get("KERAS_PERFORMER_TRACEBACK"):
            raise
        print(f"keras-performer {parsed.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        line = "\nInterrupted."
        if parsed.command in ("pretrain", "train", "demo"):
            line += (
                " The same command goes on after the last checkpoint, or from the "
                "start where there is none yet."
            )
        print(line, file=sys.stderr)
        return 130


def parser() -> argparse.ArgumentParser:
    """Returns the argument parser of `keras-performer`.

    Example:

    >>> parser().parse_args(["export", "--run", "runs/books"]).run_folder
    'runs/books'
    """
    top = argparse.ArgumentParser(
        prog="keras-performer",
        description="Linear-time attention for Keras: classify documents of any "
        "length, from a folder of files to answers over HTTP.",
        epilog="The steps: train -> evaluate -> export -> serve -> predict. `demo` "
        "runs them all. `keras-performer COMMAND --help` explains each. With "
        "KERAS_PERFORMER_TRACEBACK=1 in the environment, errors come with a traceback; "
        "with TF_CPP_MIN_LOG_LEVEL=0, TensorFlow shows its notices.",
    )
    top.add_argument("--version", action="version", version=__version__)
    subparsers = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module, text in COMMANDS.items():
        module.add_parser(subparsers, text)
    return top
