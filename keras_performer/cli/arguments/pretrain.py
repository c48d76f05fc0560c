"""The flags of `keras-performer pretrain`."""

from keras_performer.cli.arguments.flags import Commands, HelpFormatter
from keras_performer.cli.arguments.training import (
    SHARED,
    Settings,
    add_run_flags,
    add_settings,
)

# Those of `PretrainingSettings` but `data`.
SETTINGS: Settings = {
    **SHARED,
    "problem": (
        str,
        "single_label",
        (
            "what the labels are, as for `train`, so that the documents it tests on "
            "are not read; or 'unlabelled', where there are none"
        ),
    ),
    "masking_rate": (float, 0.15, "share of the tokens that are to be told"),
}


def add_parser(commands: Commands, summary: str) -> None:
    """Adds the command to an `argparse` subparsers object, with a line about it."""
    parser = commands.add_parser(
        "pretrain",
        help=summary,
        description="Trains the encoder of `keras-performer train` to tell masked "
        "tokens of the training documents, whose labels are not used. The data are as "
        "for `train`, and what that tests on is not read; with --problem unlabelled "
        "they are all files below a folder, or a table without labels. `train --from "
        "RUN` starts from its vocabulary and its weights. Run the same command again "
        "after an interruption and it goes on after the last checkpoint. At the end it "
        "prints accuracy and perplexity of masked tokens of documents held out, beside "
        "those of the tokens' frequencies.",
        epilog="example: keras-performer pretrain --data books --run runs/pretrained",
        formatter_class=HelpFormatter,
    )
    add_run_flags(parser, "accuracy and perplexity")
    add_settings(parser, SETTINGS)
