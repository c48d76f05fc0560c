"""The flags of `keras-performer evaluate`."""

from keras_performer.cli.arguments.flags import (
    Commands,
    HelpFormatter,
    add_json_flag,
)

READINGS = ("whole", "document", "window")


def add_parser(commands: Commands, summary: str) -> None:
    """Adds the command to an `argparse` subparsers object, with a line about it."""
    parser = commands.add_parser(
        "evaluate",
        help=summary,
        description="Measures a trained classifier on documents with labels: accuracy "
        "by window, by document (the mean of its windows' log probabilities) and of "
        "documents read whole, as `predict` and a server read them; precision, recall "
        "and F1 of each class and their means; the confusion matrix; the expected "
        "calibration error; and the worst errors. Of several labels a document: micro "
        "and macro F1, exact match, and the scores of each label; of a number: R², and "
        "root mean squared and mean absolute error.",
        epilog="example: keras-performer evaluate --run runs/books --png confusion.png",
        formatter_class=HelpFormatter,
    )
    parser.add_argument(
        "--run", dest="run_folder", required=True, help="folder of the training"
    )
    parser.add_argument(
        "--data",
        help="folder or table of documents of the training's classes to measure on; of "
        "the folders DATA/train and DATA/test the latter alone (default: the test "
        "documents of the training)",
    )
    for name in ("text", "label"):
        parser.add_argument(
            f"--{name}-column",
            help=f"column of the {name}s, where DATA is a table (default: the "
            "training's)",
        )
    parser.add_argument(
        "--label-separator",
        help="what stands between several labels in a string (default: the training's)",
    )
    parser.add_argument(
        "--by",
        choices=READINGS,
        default="whole",
        help="which answers the classes, the calibration and the errors are of",
    )
    parser.add_argument(
        "--png", metavar="FILE", help="draw the confusion matrix; needs Matplotlib"
    )
    parser.add_argument(
        "--errors", type=int, default=10, help="number of errors to show"
    )
    parser.add_argument(
        "--bins", type=int, default=15, help="bins of the calibration error"
    )
    parser.add_argument(
        "--tokens-per-batch",
        type=int,
        help="tokens of a batch: the dial for memory (default: the training's)",
    )
    add_json_flag(parser, "one JSON document")
