"""The flags of `keras-performer serve`."""

import argparse

from keras_performer.cli.arguments.flags import (
    Commands,
    HelpFormatter,
    add_flags,
    add_json_flag,
)
from keras_performer.server import ServerOptions
from keras_performer.server.server_options import TENSORFLOW_SERVING_FLAGS

HELP = {
    "model_name": "name of the model in the URL",
    "model_base_path": "folder that holds the model's numbered versions",
    "model_config_file": "text file with a ModelServerConfig, for several models, "
    "version policies and labels; instead of the two flags above",
    "model_config_file_poll_wait_seconds": "time between two looks at that file, whose "
    "changes are taken over; 0: read it once, at the start",
    "port": "port for gRPC, on the same address; 0: no gRPC",
    "enable_grpc_healthcheck_service": "answer the standard health service of gRPC",
    "rest_api_port": "port; 0 takes a free one and prints it",
    "rest_api_host": "address to listen on; 0.0.0.0 opens the server to the network",
    "rest_api_num_threads": "requests computed at the same time (default: four for "
    "each processor)",
    "rest_api_timeout_in_ms": "longest time from the arrival of a request to its "
    "answer; 0: no limit",
    "rest_api_enable_cors_support": "let pages of other origins read the answers",
    "rest_api_enable_ssl": "encrypt REST too, by --ssl_config_file (TensorFlow Serving "
    "encrypts gRPC alone)",
    "ssl_config_file": "text file with an SSLConfig, which encrypts gRPC: server_key "
    "and server_cert as PEM text; custom_ca and client_verify ask for certificates of "
    "clients",
    "api_token_file": "file with a token a line, of which requests must bring one in "
    "the header Authorization: Bearer TOKEN; the status of a model, and gRPC's health "
    "service, are told without one",
    "max_request_bytes": "size of a request's body, as it is sent and uncompressed",
    "max_padded_bytes": "what all requests that compute at a time may ask of the "
    "models: bytes of text, where the texts of a request are as long as the longest; "
    "0: no limit (default: a 2048th of the memory)",
    "max_waiting_requests": "requests that may wait for others; further ones are "
    "answered with 503",
    "max_connections": "connections at a time; when all are taken, quiet ones are "
    "closed for new ones",
    "connection_timeout_in_ms": "time within which the head of a request, a further "
    "part of its body, or the taking of a part of its answer is to happen",
    "enable_batching": "join short requests that arrive together",
    "batching_parameters_file": "text file with BatchingParameters, which says how",
    "monitoring_config_file": "text file with a MonitoringConfig, which opens the page "
    "for Prometheus, /monitoring/prometheus/metrics",
    "enable_web_view": "open a page for browsers, /monitoring/ui, of models, versions "
    "and latencies, with a box to try a text; and the page for Prometheus",
    "access_log": "text or json: a line for each request on standard error, without "
    "its body",
    "file_system_poll_wait_seconds": "time between two looks for new versions; 0: look "
    "once, at the start",
    "max_num_load_retries": "further attempts to load a version that failed to load",
    "load_retry_interval_micros": "time between two such attempts",
    "enable_model_warmup": "replay a version's warm-up requests before serving it",
    "allow_ops": "names of ops, with commas, that models may run though they reach for "
    "files, the network or Python",
    "allow_version_labels_for_unavailable_models": "accept a label for a version that "
    "could not be loaded at the start",
    "tensorflow_session_parallelism": "threads for one op, and ops computed at a time, "
    "where the two below are not given",
    "tensorflow_intra_op_parallelism": "threads that work on one op; 0: one for each "
    "four processors, so that short requests do not wait for the ops of long ones",
    "tensorflow_inter_op_parallelism": "ops computed at a time by one version of a "
    "model; 0: 16, so that long requests leave threads to short ones",
}


class _Refuse(argparse.Action):
    """Ends the program at a flag that only TensorFlow Serving has."""

    def __call__(
        self, parser: argparse.ArgumentParser, *arguments: object, **options: object
    ) -> None:
        parser.error(
            f"{self.option_strings[0]}: tensorflow_model_server has this flag, "
            "keras-performer serve has not"
        )


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
    add_json_flag(parser, "the address as one JSON document, once it can be asked,")
    for name in sorted(set(TENSORFLOW_SERVING_FLAGS) - HELP.keys()):
        parser.add_argument(
            f"--{name}", nargs="?", action=_Refuse, help=argparse.SUPPRESS
        )
