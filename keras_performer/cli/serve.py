"""`keras-performer serve`: serves SavedModels with TensorFlow Serving's REST API."""

import argparse

from keras_performer.cli.arguments.flags import values_of
from keras_performer.cli.arguments.serve import HELP
from keras_performer.server import ServerOptions, serve


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    serve(ServerOptions(**values_of(arguments, HELP)))
