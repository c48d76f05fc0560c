"""The flags of `keras-performer explain`."""

from keras_performer.cli.arguments.flags import (
    Commands,
    HelpFormatter,
    add_json_flag,
)
from keras_performer.cli.arguments.predict import add_local_model


def add_parser(commands: Commands, summary: str) -> None:
    """Adds the command to an `argparse` subparsers object, with a line about it."""
    parser = commands.add_parser(
        "explain",
        help=summary,
        description="Tells which passages of a document spoke for its label: the "
        "document is predicted without each of them, and the change of the label's log "
        "probability is the passage's weight. The strongest passages are cut further.",
        epilog="example: keras-performer explain --run runs/books --html why.html "
        "book.txt",
        formatter_class=HelpFormatter,
    )
    parser.add_argument(
        "file", metavar="FILE", help="text file, UTF-8; - for standard input"
    )
    add_local_model(parser, is_required=True)
    parser.add_argument(
        "--label", help="label to explain (default: the one that is predicted)"
    )
    parser.add_argument(
        "--html",
        metavar="OUT",
        help="write the whole document, with its passages coloured, as one HTML file",
    )
    parser.add_argument(
        "--top", type=int, default=5, help="number of passages to print"
    )
    parser.add_argument(
        "--passages", type=int, default=16, help="number of passages at first"
    )
    parser.add_argument(
        "--shortest",
        type=int,
        default=200,
        help="characters that a passage has about at least",
    )
    parser.add_argument(
        "--predictions",
        type=int,
        default=64,
        help="number of predictions of the document to spend: the time it takes",
    )
    add_json_flag(parser, "one JSON document")
