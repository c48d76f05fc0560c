"""The flags of `keras-performer demo`."""

from typing import Any

from keras_performer.cli.arguments.flags import (
    Commands,
    HelpFormatter,
    add_json_flag,
)
from keras_performer.cli.arguments.train import SETTINGS
from keras_performer.cli.arguments.training import add_settings

LONG_DOCUMENT = 60_000
# One pass is enough to show the way: some minutes of two cores.
DEMO_SETTINGS: dict[str, Any] = {"context_length": 512, "epochs": 1}


def add_parser(commands: Commands, summary: str) -> None:
    """Adds the command to an `argparse` subparsers object, with a line about it."""
    parser = commands.add_parser(
        "demo",
        help=summary,
        description="Trains a classifier, measures it beside baselines, exports it, "
        "starts the server and sends a document of more than "
        f"{LONG_DOCUMENT:,} bytes in one request. The documents are the Python sources "
        "of the installed libraries, the class is the library, and whole modules are "
        "held out as test; or your own, with --data. After an interruption, run it "
        "again: it does not repeat what is complete.",
        formatter_class=HelpFormatter,
    )
    parser.add_argument(
        "--data", help="your own folder of documents, as for `keras-performer train`"
    )
    parser.add_argument(
        "--work-dir", default="runs/demo", help="folder of the corpus and the training"
    )
    parser.add_argument(
        "--saved-models", default="saved_models", help="folder of all models"
    )
    parser.add_argument(
        "--quiet", action="store_true", help="show no progress of the training"
    )
    add_json_flag(
        parser, "the accuracies, and the server's answer, as one JSON document"
    )
    add_settings(parser, SETTINGS, **DEMO_SETTINGS)
