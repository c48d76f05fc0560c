"""The command `keras-performer`: parses the command line and calls one command."""

import argparse
import os
import sys
from collections.abc import Sequence

from keras_performer import __version__
from keras_performer.cli import demo, export, plan, predict, serve, train

COMMANDS = (train, export, serve, predict, demo, plan)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs `keras-performer`.

    Args:
        arguments: List of arguments; defaults to the command line's.

    Returns:
        Exit status: 0, what the command says, or 2 after an error in what was given.
    """
    parsed = parser().parse_args(arguments)
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
        epilog="The steps: train -> export -> serve -> predict. `demo` runs them all. "
        "`keras-performer COMMAND --help` explains each. With "
        "KERAS_PERFORMER_TRACEBACK=1 in the environment, errors come with a traceback; "
        "with TF_CPP_MIN_LOG_LEVEL=2, TensorFlow keeps its notices to itself.",
    )
    top.add_argument("--version", action="version", version=__version__)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in COMMANDS:
        module.add_parser(commands)
    return top
