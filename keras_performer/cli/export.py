"""`keras-performer export`: writes a trained classifier as a SavedModel."""

import argparse

from keras_performer.cli.flags import Commands, HelpFormatter
from keras_performer.export import export_classifier
from keras_performer.training import RunFolder


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
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    folder = RunFolder(arguments.run_folder)
    version = export_classifier(
        folder.model(),
        folder.tokenizer(),
        folder.labels(),
        arguments.saved_models,
        arguments.name,
    )
    print(f"Wrote {version}")
    print(
        f"Next: keras-performer serve --model_name={arguments.name} "
        f"--model_base_path={version.parent}"
    )
