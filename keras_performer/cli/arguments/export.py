"""The flags of `keras-performer export`."""

from keras_performer.cli.arguments.flags import (
    Commands,
    HelpFormatter,
    add_json_flag,
)


def add_parser(commands: Commands, summary: str) -> None:
    """Adds the command to an `argparse` subparsers object, with a line about it."""
    parser = commands.add_parser(
        "export",
        help=summary,
        description="Writes SAVED_MODELS/NAME/VERSION/ under the next free version: a "
        "SavedModel with the signatures serving_default (text to label and "
        "probabilities), tokens (ids to the same), embed (text to a vector) and labels "
        "(index to name), and warm-up requests. A running server picks it up.",
        epilog="example: keras-performer export --run runs/books --name books",
        formatter_class=HelpFormatter,
    )
    parser.add_argument(
        "--run", dest="run_folder", required=True, help="folder of the training"
    )
    parser.add_argument(
        "--saved-models", default="saved_models", help="folder of all models"
    )
    parser.add_argument("--name", default="documents", help="name of the model")
    add_json_flag(parser, "what was written as one JSON document")
