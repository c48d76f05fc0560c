"""`keras-performer serve`: serves SavedModels with TensorFlow Serving's REST API."""

import argparse

from keras_performer import server
from keras_performer.cli.arguments.flags import values_of
from keras_performer.cli.arguments.serve import HELP
from keras_performer.cli.output import json_output


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    options = server.ServerOptions(**values_of(arguments, HELP))
    with json_output(arguments.json) as write_json:

        def announce(names: list[str], url: str) -> None:
            write_json({"url": url, "models": names})

        # `serve` needs an extra, and is imported when it is named.
        server.serve(options, announce if arguments.json else None)
