"""`keras-performer predict` with a model on this machine."""

import argparse

from keras_performer.cli.answers import ANSWERS
from keras_performer.cli.local_model import local_model
from keras_performer.cli.output import json_output
from keras_performer.cli.text_blocks import TextBlocks
from keras_performer.cli.texts import text_paths


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; returns 2 where a file could not be read."""
    blocks = TextBlocks(text_paths(arguments.files), arguments.text_column)
    with json_output(arguments.json) as write_json:
        model = local_model(arguments)
        for names, texts in blocks:
            for path, row in zip(names, model.outputs(texts), strict=True):
                answer = ANSWERS[model.problem].of_outputs(model.labels, row.tolist())
                if arguments.json:
                    write_json({"path": path, **answer.fields(model.labels)})
                else:
                    print(path, *answer.columns(), sep="\t", flush=True)
    return 2 if blocks.num_failures else 0
