"""The flags of `keras-performer serve`."""

from keras_performer.cli.arguments.flags import Commands, HelpFormatter, add_flags
from keras_performer.server import ServerOptions

HELP = {
    "model_name": "name of the model in the URL",
    "model_base_path": "folder that holds the model's numbered versions",
    "model_config_file": "text file with a ModelServerConfig, for several models, "
    "version policies and labels; instead of the two flags above",
    "rest_api_port": "port; 0 takes a free one and prints it",
    "rest_api_host": "address to listen on; 0.0.0.0 opens the server to the network",
    "rest_api_num_threads": "requests computed at the same time (default: four for "
    "each processor)",
    "rest_api_timeout_in_ms": "longest time that a request may compute; 0: no limit",
    "file_system_poll_wait_seconds": "time between two looks for new versions; 0: look "
    "once, at the start",
    "max_num_load_retries": "further attempts to load a version that failed to load",
    "load_retry_interval_micros": "time between two such attempts",
    "enable_model_warmup": "replay a version's warm-up requests before serving it",
    "allow_version_labels_for_unavailable_models": "accept a label for a version that "
    "could not be loaded at the start",
}


def add_parser(commands: Commands, summary: str) -> None:
    """Adds the command to an `argparse` subparsers object, with a line about it."""
    parser = commands.add_parser(
        "serve",
        help=summary,
        description="Serves SavedModel folders with TensorFlow Serving's REST API and "
        "flag names. New versions are picked up while it runs. It listens on this "
        "machine only, unless told otherwise. For more than one machine, run "
        "TensorFlow Serving itself on the same folder: see serving/README.md.",
        epilog="example: keras-performer serve --model_name=documents "
        "--model_base_path=saved_models/documents",
        formatter_class=HelpFormatter,
    )
    add_flags(parser, ServerOptions, HELP)
