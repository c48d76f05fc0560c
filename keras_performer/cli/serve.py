"""`keras-performer serve`: serves SavedModels with TensorFlow Serving's REST API."""

import argparse

from keras_performer import server
from keras_performer.cli.arguments.flags import values_of
from keras_performer.cli.arguments.serve import HELP


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    # `serve` needs an extra, and is imported when it is named.
    server.serve(server.ServerOptions(**values_of(arguments, HELP)))
