"""`keras-performer train`: trains a classifier and measures it on unseen documents."""

import argparse
import os
import pathlib
import shlex

from keras_performer.cli import report
from keras_performer.cli.arguments.flags import values_of
from keras_performer.cli.arguments.train import SETTINGS
from keras_performer.cli.output import json_output
from keras_performer.training import ClassifierSettings, train_classifier


def settings(
    arguments: argparse.Namespace, data: str | os.PathLike[str]
) -> ClassifierSettings:
    """Returns the `ClassifierSettings` of parsed arguments.

    Args:
        arguments: What a parser with the flags of `train` returned.
        data: Folder of the documents.
    """
    return ClassifierSettings(
        data=str(pathlib.Path(data).resolve()), **values_of(arguments, SETTINGS)
    )


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    with json_output(arguments.json) as write_json:
        train_classifier(
            settings(arguments, arguments.data),
            arguments.run_folder,
            verbose=0 if arguments.quiet else "auto",
            tensorboard=arguments.tensorboard,
        )
        measured = report.evaluate(
            arguments.run_folder, baselines=arguments.baselines == "auto"
        )
        if arguments.json:
            write_json({"run": arguments.run_folder, **measured})
        run_folder = shlex.quote(arguments.run_folder)
        print(f"Next: keras-performer export --run {run_folder}")
