"""`keras-performer train`: trains a classifier and measures it on unseen documents."""

import argparse
import os
import pathlib
import shlex

from keras_performer.cli import report
from keras_performer.cli.arguments.flags import values_of
from keras_performer.cli.arguments.train import SETTINGS
from keras_performer.training import ClassifierSettings, train_classifier


def settings(
    arguments: argparse.Namespace, data: str | os.PathLike[str]
) -> ClassifierSettings:
    """Returns the `ClassifierSettings` of parsed arguments.

    Args:
        arguments: What a parser with `add_settings` returned.
        data: Folder of the documents.
    """
    return ClassifierSettings(
        data=str(pathlib.Path(data).resolve()), **values_of(arguments, SETTINGS)
    )


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    train_classifier(settings(arguments, arguments.data), arguments.run_folder)
    report.evaluate(arguments.run_folder, baselines=arguments.baselines == "auto")
    print(f"Next: keras-performer export --run {shlex.quote(arguments.run_folder)}")
