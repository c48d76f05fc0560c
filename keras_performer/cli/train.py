"""`keras-performer train`: trains a classifier and measures it on unseen documents."""

import argparse
import os
import pathlib
from typing import Any

from keras_performer.cli import report
from keras_performer.cli.flags import Commands, HelpFormatter, add_flags, values_of
from keras_performer.training import ClassifierSettings, train_classifier

HELP = {
    "tokenizer": "'wordpiece', with a vocabulary learnt from the data, or 'bytes'",
    "vocabulary_size": "largest size of a learnt vocabulary",
    "context_length": "longest window of a document that training sees, in tokens; "
    "the trained model reads documents of any length",
    "tokens_per_batch": "tokens of a batch: the dial for memory",
    "epochs": "passes over the training documents",
    "learning_rate": "peak of the schedule: a tenth of warm-up, then a cosine to 0",
    "weight_decay": "weight decay of AdamW",
    "num_layers": "encoder blocks",
    "num_heads": "attention heads of a block",
    "hidden_dim": "features of a position",
    "intermediate_dim": "hidden size of the feed-forward networks",
    "dropout": "dropout rate",
    "block": "kind of the encoder blocks: 'gated', which learn more from less, or "
    "'plain', the Transformer's",
    "feature_map": "'relu', 'softmax' (FAVOR+), or another feature map by its name",
    "num_features": "random features of a head (default: D log D)",
    "redraw_interval": "steps between two draws of the random projections; 0: never",
    "validation_fraction": "share of the training documents held out to choose the "
    "best epoch; 0: choose by the training documents (for few, long documents)",
    "monitor": "what chooses the best epoch: 'accuracy' (of equal ones the lowest "
    "loss) or 'loss'",
    "max_bytes": "largest size of a document, in bytes",
    "seed": "seeds weights, projections, dropout and the order of documents",
}


def add_parser(commands: Commands, summary: str) -> None:
    """Adds the command to an `argparse` subparsers object, with a line about it."""
    parser = commands.add_parser(
        "train",
        help=summary,
        description="Trains a linear-time classifier on a folder of text files, "
        "DATA/CLASS/..., or DATA/train/CLASS/... and DATA/test/CLASS/... (without "
        "these two, a fifth of the files is held out as test). Documents may be of any "
        "length and are read as a stream. Run the same command again after an "
        "interruption and it goes on after the last checkpoint. At the end it "
        "prints accuracy on the test documents, beside the majority class and TF-IDF "
        "with logistic regression where scikit-learn is installed.",
        epilog="example: keras-performer train --data books --run runs/books",
        formatter_class=HelpFormatter,
    )
    parser.add_argument("--data", required=True, help="folder of documents")
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
    add_settings(parser)
    parser.set_defaults(run=run)


def add_settings(parser: argparse.ArgumentParser, **defaults: Any) -> None:
    """Adds a flag for each field of `ClassifierSettings` but `data`.

    Args:
        parser: An `argparse` parser.
        **defaults: Defaults that differ from the fields'.
    """
    group = parser.add_argument_group("settings")
    add_flags(
        group,
        ClassifierSettings,
        HELP,
        defaults,
        style=lambda name: name.replace("_", "-"),
    )


def settings(
    arguments: argparse.Namespace, data: str | os.PathLike[str]
) -> ClassifierSettings:
    """Returns the `ClassifierSettings` of parsed arguments.

    Args:
        arguments: What a parser with `add_settings` returned.
        data: Folder of the documents.
    """
    return ClassifierSettings(
        data=str(pathlib.Path(data).resolve()), **values_of(arguments, HELP)
    )


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    train_classifier(settings(arguments, arguments.data), arguments.run_folder)
    report.evaluate(arguments.run_folder, baselines=arguments.baselines == "auto")
    print(f"Next: keras-performer export --run {arguments.run_folder}")
