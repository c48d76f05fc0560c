"""The flags of `keras-performer predict`."""

from keras_performer.cli.arguments.flags import Commands, HelpFormatter


def add_parser(commands: Commands, summary: str) -> None:
    """Adds the command to an `argparse` subparsers object, with a line about it."""
    parser = commands.add_parser(
        "predict",
        help=summary,
        description="Sends each file as one document to a running server, this one or "
        "TensorFlow Serving, and prints its label and the label's probability.",
        epilog="example: keras-performer predict --model_name documents book.txt",
        formatter_class=HelpFormatter,
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="text files, UTF-8")
    parser.add_argument(
        "--url", default="http://127.0.0.1:8501", help="address of the server"
    )
    parser.add_argument("--model_name", default="default", help="name of the model")
    parser.add_argument(
        "--timeout",
        type=float,
        default=60.0,
        help="seconds to wait for an answer; the server ends at its own",
    )
