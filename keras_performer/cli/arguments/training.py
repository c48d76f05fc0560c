"""The flags that `keras-performer train` and `pretrain` share."""

import argparse
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from keras_performer.cli.arguments.flags import add_json_flag

# Type, default and help of each setting, whose modules import TensorFlow: a test
# compares them.
Settings: TypeAlias = Mapping[str, tuple[Callable[[str], Any], Any, str]]

SHARED: Settings = {
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
    "max_bytes": (int, 64 * 2**20, "largest size of a document, in bytes"),
    "seed": (int, 0, "seeds weights, projections, dropout and the order of documents"),
    "text_column": (str, "text", "column of the texts, where DATA is a table"),
    "label_column": (str, "label", "column of the labels, where DATA is a table"),
    "early_stopping": (
        int,
        0,
        "epochs without a better one after which training ends; 0: never",
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
# Of those that are not called as their settings.
_FLAGS = {"pretrained": "--from"}


def add_run_flags(parser: argparse.ArgumentParser, answer: str) -> None:
    """Adds the flags of data, run folder and output.

    Args:
        parser: An `argparse` parser.
        answer: What the command answers, such as "the accuracies".
    """
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
        "--quiet", action="store_true", help=f"show no progress, only {answer}"
    )
    parser.add_argument(
        "--tensorboard",
        action="store_true",
        help="write event files, for `tensorboard --logdir RUN`",
    )
    add_json_flag(parser, f"{answer} as one JSON document")


def add_settings(
    parser: argparse.ArgumentParser, settings: Settings, **defaults: Any
) -> None:
    """Adds a flag for each setting.

    Args:
        parser: An `argparse` parser.
        settings: Type, default and help of each.
        **defaults: Defaults that differ from those of the settings.
    """
    group = parser.add_argument_group("settings")
    for name, (kind, default, text) in settings.items():
        value: dict[str, Any] = {"type": kind}
        if kind is bool:
            value = {"action": "store_true"}
        group.add_argument(
            _FLAGS.get(name, f"--{name.replace('_', '-')}"),
            dest=name,
            default=defaults.get(name, default),
            help=text,
            **value,
        )
