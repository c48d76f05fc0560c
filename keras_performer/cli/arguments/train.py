"""The flags of `keras-performer train`."""

import argparse
from collections.abc import Callable
from typing import Any

from keras_performer.cli.arguments.flags import (
    Commands,
    HelpFormatter,
    add_json_flag,
)


def _name_or_none(text: str) -> str | None:
    return None if text == "none" else text


# Type, default and help for each field of `ClassifierSettings`, whose module imports
# TensorFlow: a test compares them.
SETTINGS: dict[str, tuple[Callable[[str], Any], Any, str]] = {
    "tokenizer": (
        str,
        "wordpiece",
        "'wordpiece', with a vocabulary learnt from the data, or 'bytes'",
    ),
    "vocabulary_size": (int, 8192, "largest size of a learnt vocabulary"),
    "context_length": (
        int,
        1024,
        (
            "longest window of a document that training sees, in tokens; "
            "the trained model reads documents of any length"
        ),
    ),
    "tokens_per_batch": (int, 8192, "tokens of a batch: the dial for memory"),
    "epochs": (int, 5, "passes over the training documents"),
    "learning_rate": (
        float,
        3e-3,
        "peak of the schedule: a tenth of warm-up, then a cosine to 0",
    ),
    "weight_decay": (float, 0.05, "weight decay of AdamW"),
    "num_layers": (int, 2, "encoder blocks"),
    "num_heads": (int, 2, "attention heads of a block"),
    "hidden_dim": (int, 64, "features of a position"),
    "intermediate_dim": (int, 128, "hidden size of the feed-forward networks"),
    "dropout": (float, 0.1, "dropout rate"),
    "block": (
        str,
        "gated",
        "kind of the encoder blocks: 'gated' or 'plain', the Transformer's",
    ),
    "feature_map": (
        str,
        "relu",
        "'relu', 'softmax' (FAVOR+), or another feature map by its name",
    ),
    "num_features": (int, None, "random features of a head (default: D log D)"),
    "redraw_interval": (
        int,
        100,
        "steps between two draws of the random projections; 0: never",
    ),
    "validation_fraction": (
        float,
        0.1,
        (
            "share of the training documents held out to choose the "
            "best epoch; 0: choose by the training documents (for few, long documents)"
        ),
    ),
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
    "max_bytes": (int, 64 * 2**20, "largest size of a document, in bytes"),
    "seed": (int, 0, "seeds weights, projections, dropout and the order of documents"),
    "text_column": (str, "text", "column of the texts, where DATA is a table"),
    "label_column": (str, "label", "column of the labels, where DATA is a table"),
    "class_weight": (
        _name_or_none,
        None,
        (
            "'none', or 'balanced': windows of rare classes weigh more in the loss, so "
            "that each class has the same share of it"
        ),
    ),
    "early_stopping": (
        int,
        0,
        "epochs without a better --monitor after which training ends; 0: never",
    ),
    "mixed_precision": (bool, False, "compute in bfloat16, with weights in float32"),
    "problem": (
        str,
        "single_label",
        (
            "what the labels are: 'single_label', one class a document; 'multi_label', "
            "a list of any number of classes; 'regression', a number; the last two "
            "need a table"
        ),
    ),
    "label_separator": (
        str,
        None,
        (
            "what stands between several labels in a string, such as '|' (default: "
            "none, the column has lists)"
        ),
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
    parser.add_argument(
        "--data", required=True, help="folder of documents, or a table of them"
    )
    parser.add_argument(
        "--run",
        dest="run_folder",
        required=True,
        help="folder to write settings, history, checkpoints and the model to",
    )
    parser.add_argument(
        "--baselines",
        choices=("auto", "none"),
        default="auto",
        help="whether to measure the baselines too, where scikit-learn is installed",
    )
    parser.add_argument(
        "--quiet", action="store_true", help="show no progress, only the accuracies"
    )
    parser.add_argument(
        "--tensorboard",
        action="store_true",
        help="write event files, for `tensorboard --logdir RUN`",
    )
    add_json_flag(parser, "the accuracies as one JSON document")
    add_settings(parser)


def add_settings(parser: argparse.ArgumentParser, **defaults: Any) -> None:
    """Adds a flag for each field of `ClassifierSettings` but `data`.

    Args:
        parser: An `argparse` parser.
        **defaults: Defaults that differ from those of the settings.
    """
    group = parser.add_argument_group("settings")
    for name, (kind, default, text) in SETTINGS.items():
        value: dict[str, Any] = {"type": kind}
        if kind is bool:
            value = {"action": "store_true"}
        group.add_argument(
            f"--{name.replace('_', '-')}",
            default=defaults.get(name, default),
            help=text,
            **value,
        )
