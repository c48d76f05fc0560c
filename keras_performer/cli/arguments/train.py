"""The flags of `keras-performer train`."""

import pathlib

from keras_performer.cli.arguments.flags import Commands, HelpFormatter
from keras_performer.cli.arguments.training import (
    SHARED,
    Settings,
    add_run_flags,
    add_settings,
)


def _name_or_none(text: str) -> str | None:
    return None if text == "none" else text


def _absolute(path: str) -> str:
    return str(pathlib.Path(path).resolve())


# Those of `ClassifierSettings` but `data`.
SETTINGS: Settings = {
    **SHARED,
    "monitor": (
        str,
        "accuracy",
        (
            "what chooses the best epoch: 'accuracy' (of equal ones the lowest "
            "loss; of several labels micro F1, of a number the loss) or 'loss'"
        ),
    ),
    "ngram_buckets": (
        int,
        2**20,
        (
            "buckets of hashed words and pairs of words, a linear classifier beside "
            "the encoder; 0: the encoder alone"
        ),
    ),
    "ngram_epochs": (int, 5, "passes of the n-grams over the training documents"),
    "class_weight": (
        _name_or_none,
        None,
        (
            "'none', or 'balanced': windows of rare classes weigh more in the loss, so "
            "that each class has the same share of it"
        ),
    ),
    "pretrained": (
        _absolute,
        None,
        (
            "run folder of `keras-performer pretrain` to start from: its vocabulary "
            "and the weights of its encoder, whose settings must be the same"
        ),
    ),
    "label_smoothing": (
        float,
        0.0,
        (
            "share of the probability of the right label that the encoder's loss "
            "spreads over all labels"
        ),
    ),
    "token_dropout": (
        float,
        0.0,
        "share of the tokens that a step of the encoder's training leaves out",
    ),
}


def add_parser(commands: Commands, summary: str) -> None:
    """Adds the command to an `argparse` subparsers object, with a line about it."""
    parser = commands.add_parser(
        "train",
        help=summary,
        description="Trains a linear-time classifier on a folder of text files, "
        "DATA/CLASS/..., or DATA/train/CLASS/... and DATA/test/CLASS/... (without "
        "these two, a fifth of the files is held out as test), or on a table: JSON "
        "Lines, CSV, TSV, Parquet, whose labels may also be several a document, or a "
        "number (--problem). Documents may be of any "
        "length and are read as a stream. Run the same command again after an "
        "interruption and it goes on after the last checkpoint. At the end it "
        "prints accuracy on the test documents, beside the majority class and TF-IDF "
        "with logistic regression where scikit-learn is installed.",
        epilog="example: keras-performer train --data books --run runs/books",
        formatter_class=HelpFormatter,
    )
    add_run_flags(parser, "the accuracies")
    parser.add_argument(
        "--baselines",
        choices=("auto", "none"),
        default="auto",
        help="whether to measure the baselines too, where scikit-learn is installed",
    )
    add_settings(parser, SETTINGS)
