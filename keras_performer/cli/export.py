"""`keras-performer export`: writes a trained classifier as a SavedModel."""

import argparse
import shlex

from keras_performer.cli.output import json_output
from keras_performer.export import export_classifier
from keras_performer.training import RunFolder


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    with json_output(arguments.json) as write_json:
        run_folder = RunFolder(arguments.run_folder)
        version = export_classifier(
            run_folder.model(),
            run_folder.tokenizer(),
            run_folder.labels(),
            arguments.saved_models,
            arguments.name,
        )
        print(f"Wrote {version}")
        if arguments.json:
            write_json(
                {
                    "path": str(version),
                    "name": arguments.name,
                    "version": int(version.name),
                    "labels": run_folder.labels(),
                }
            )
        name, folder = shlex.quote(arguments.name), shlex.quote(str(version.parent))
        print(
            "Next, a server, and in another terminal a question to it:\n"
            f"  keras-performer serve --model_name={name} --model_base_path={folder}\n"
            f"  keras-performer predict --model_name={name} FILE"
        )
