"""`keras-performer pretrain`: trains an encoder to tell masked tokens of documents."""

import argparse
import json
import pathlib
import shlex

from keras_performer.cli.arguments.flags import values_of
from keras_performer.cli.arguments.pretrain import SETTINGS
from keras_performer.cli.output import json_output
from keras_performer.training import (
    MaskedEvaluation,
    PretrainingSettings,
    RunFolder,
    pretrain_encoder,
)
from keras_performer.training.pretrained_encoder import SAME


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    data = str(pathlib.Path(arguments.data).resolve())
    settings = PretrainingSettings(data=data, **values_of(arguments, SETTINGS))
    with json_output(arguments.json) as write_json:
        pretrain_encoder(
            settings,
            arguments.run_folder,
            verbose=0 if arguments.quiet else "auto",
            tensorboard=arguments.tensorboard,
        )
        evaluation = RunFolder(arguments.run_folder).evaluation_path
        measured = json.loads(evaluation.read_text()) if evaluation.exists() else {}
        if measured:
            _print(MaskedEvaluation(**measured))
        if arguments.json:
            write_json({"run": arguments.run_folder, **measured})
        words = ["keras-performer", "train", "--from", arguments.run_folder]
        for name in SAME:
            if getattr(settings, name) != SETTINGS[name][1]:
                words += [f"--{name.replace('_', '-')}", str(getattr(settings, name))]
        print(f"Next: {shlex.join(words)} --data DATA --run RUN")


def _print(measured: MaskedEvaluation) -> None:
    rows = {
        "frequencies": (measured.unigram_accuracy, measured.unigram_perplexity),
        "Performer": (measured.accuracy, measured.perplexity),
    }
    print(f"\n{measured.num_tokens:,} masked tokens of documents held out:")
    print(f"{'':<34}{'accuracy':>10}{'perplexity':>12}")
    for name, (accuracy, perplexity) in rows.items():
        print(f"{name:<34}{accuracy:>10.1%}{perplexity:>12.1f}")
    print()
