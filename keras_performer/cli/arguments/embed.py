"""The flags of `keras-performer embed`."""

from keras_performer.cli.arguments.flags import (
    Commands,
    HelpFormatter,
    add_json_flag,
)
from keras_performer.cli.arguments.predict import add_local_model, add_texts


def add_parser(commands: Commands, summary: str) -> None:
    """Adds the command to an `argparse` subparsers object, with a line about it."""
    parser = commands.add_parser(
        "embed",
        help=summary,
        description="Computes a vector of each document: what the classifier's last "
        "layer reads. --out writes them with their paths, --nearest prints for each "
        "document those whose vectors have the largest cosine with its own. It goes on "
        "after a file that cannot be read, and ends with status 2 then (default: one "
        "line of JSON a document, with its vector).",
        epilog="example: keras-performer embed --run runs/books --out vectors.npz "
        "--nearest 3 library",
        formatter_class=HelpFormatter,
    )
    add_texts(parser)
    add_local_model(parser, is_required=True)
    parser.add_argument(
        "--out",
        metavar="FILE",
        help="write the vectors: .npz, arrays `paths` (N,) and `embeddings` (N, F); or "
        ".parquet, columns `path` and `embedding`, which needs pyarrow",
    )
    parser.add_argument(
        "--nearest", type=int, metavar="K", help="print the K nearest of each document"
    )
    add_json_flag(parser, "a line of JSON a document")
