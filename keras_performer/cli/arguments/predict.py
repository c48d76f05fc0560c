"""The flags of `keras-performer predict`, and of what else takes texts and a model."""

import argparse

from keras_performer.cli.arguments.flags import (
    Commands,
    HelpFormatter,
    add_json_flag,
)


def add_parser(commands: Commands, summary: str) -> None:
    """Adds the command to an `argparse` subparsers object, with a line about it."""
    parser = commands.add_parser(
        "predict",
        help=summary,
        description="Prints path, label and probability of each document, separated by "
        "tabs. With --run or --model the model is loaded here; otherwise each document "
        "is sent to a running server, this one or TensorFlow Serving. A local model "
        "goes on after a file that cannot be read, and ends with status 2 then.",
        epilog="example: keras-performer predict --model_name documents book.txt",
        formatter_class=HelpFormatter,
    )
    add_texts(parser)
    add_local_model(parser, is_required=False)
    parser.add_argument(
        "--url", default="http://127.0.0.1:8501", help="address of the server"
    )
    parser.add_argument("--model_name", default="default", help="name of the model")
    parser.add_argument(
        "--timeout",
        type=float,
        default=35.0,
        help="seconds to wait for an answer; the server ends at its own, of 30",
    )
    parser.add_argument(
        "--api-token-file",
        metavar="FILE",
        help="file whose first line is the token that the server wants",
    )
    add_json_flag(parser, "a line of JSON a document, with all probabilities,")


def add_texts(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments `files` and `--text-column`."""
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="text files, UTF-8; folders of such; - for one text on standard input",
    )
    parser.add_argument(
        "--text-column",
        metavar="COLUMN",
        help="column of the texts of tables among the files (JSON lines, CSV, TSV, "
        "Parquet), whose rows are documents then; needs a local model",
    )


def add_local_model(parser: argparse.ArgumentParser, is_required: bool) -> None:
    """Adds `--run` and `--model`, of which one is given at most."""
    group = parser.add_mutually_exclusive_group(required=is_required)
    group.add_argument("--run", dest="run_folder", help="folder of a training")
    group.add_argument(
        "--model",
        help="exported model: SAVED_MODELS/NAME, or SAVED_MODELS/NAME/VERSION",
    )
