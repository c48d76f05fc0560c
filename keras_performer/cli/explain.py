"""`keras-performer explain`: the passages of a document that spoke for its label."""

import argparse
import dataclasses
import html
import os
import pathlib
import sys
import textwrap

from keras_performer.cli.local_model import local_model
from keras_performer.cli.output import json_output
from keras_performer.cli.texts import read_text
from keras_performer.training.evaluation import (
    Explanation,
    Passage,
    explain_by_occlusion,
)

_SHOWN = 600  # characters of a passage

_PAGE = """<!doctype html>
<html>
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ max-width: 50em; margin: 2em auto; padding: 0 1em; font: 16px/1.5 serif; }}
header {{ font-family: sans-serif; margin-bottom: 2em; }}
main {{ white-space: pre-wrap; overflow-wrap: anywhere; }}
.for {{ background: rgb(0 150 80 / var(--weight)); }}
.against {{ background: rgb(220 70 0 / var(--weight)); }}
</style>
</head>
<body>
<header>
<h1>{title}</h1>
<p>Label <b>{label}</b>, probability {probability:.4f}. Leaving a
<span class="for" style="--weight: 0.5">green</span> passage out makes the label less
likely, leaving an <span class="against" style="--weight: 0.5">orange</span> one out
more likely. The numbers are shown over a passage: the change of the label's log
probability, and its probability without the passage.</p>
</header>
<main>{passages}</main>
</body>
</html>
"""


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    with json_output(arguments.json) as write_json:
        text = read_text(arguments.file)
        model = local_model(arguments)
        if model.problem != "single_label":
            raise ValueError(
                "explain needs a model of one label a document: it compares the "
                "probabilities of all labels. This one is of "
                f"problem={model.problem!r}. In Python, pass `explain_by_occlusion` a "
                "function from texts to the probabilities of a label and its opposite."
            )
        label_id = None
        if arguments.label is not None:
            if arguments.label not in model.labels:
                raise ValueError(
                    f"--label {arguments.label}: the model has the labels "
                    f"{list(model.labels)}."
                )
            label_id = model.labels.index(arguments.label)
        explanation = explain_by_occlusion(
            model.outputs,
            text,
            label_id,
            arguments.passages,
            arguments.shortest,
            arguments.predictions,
        )
        label = model.labels[explanation.label_id]
        if arguments.html:
            page = to_html(explanation, text, label, arguments.file)
            pathlib.Path(arguments.html).write_text(page, encoding="utf-8")
            print(f"Wrote {arguments.html}", file=sys.stderr)
        if arguments.json:
            write_json(
                {
                    "path": arguments.file,
                    "label": label,
                    "probability": explanation.probability,
                    "num_predictions": explanation.num_predictions,
                    "passages": [
                        {**dataclasses.asdict(p), "text": text[p.start : p.end]}
                        for p in explanation.passages
                    ],
                }
            )
        else:
            print(f"{arguments.file}\t{label}\t{explanation.probability:.4f}")
            print(to_text(explanation, text, arguments.top))


def to_text(explanation: Explanation, text: str, number: int) -> str:
    """The passages that speak most for the label, in the order of the document.

    Args:
        explanation: The `Explanation`.
        text: The document.
        number: Number of passages.

    Returns:
        Lines of text. Marks of a passage go from `+` to `+++` where it speaks for the
        label, and from `-` to `---` where it speaks against it.
    """
    passages = explanation.passages
    strongest = sorted(passages, key=lambda p: -p.change)[:number]
    lines = []
    for passage in sorted(strongest, key=lambda p: p.start):
        weight = _weight(passage, explanation)
        marks = ("+" if weight > 0 else "-") * round(1 + 2 * abs(weight))
        lines.append(
            f"\n{marks if weight else '':3} change {passage.change:+.4f}, probability "
            f"without it {passage.probability_without:.4f}, characters "
            f"{passage.start:,} to {passage.end:,}"
        )
        shown = text[passage.start : passage.end]
        if len(shown) > _SHOWN:
            shown = f"{shown[:_SHOWN]} ... ({len(shown) - _SHOWN:,} more characters)"
        for line in _printable(shown).split("\n"):
            lines += [f"    | {part}" for part in textwrap.wrap(line, 76) or [""]]
    return "\n".join(lines)


def to_html(explanation: Explanation, text: str, label: str, title: str) -> str:
    """The document as an HTML page of its own, with coloured passages.

    Args:
        explanation: The `Explanation`.
        text: The document.
        label: Name of the label.
        title: Title of the page, such as the path of the document.

    Returns:
        The page; text and names in it are escaped.
    """
    spans = []
    for passage in explanation.passages:
        weight = _weight(passage, explanation)
        kind = "for" if weight > 0 else "against"
        spans.append(
            f'<span class="{kind}" style="--weight: {0.7 * abs(weight):.3f}" '
            f'title="{passage.change:+.4f}, {passage.probability_without:.4f}">'
            f"{html.escape(_printable(text[passage.start : passage.end]))}</span>"
        )
    return _PAGE.format(
        title=html.escape(os.fsencode(title).decode("utf-8", "replace")),
        label=html.escape(label),
        probability=explanation.probability,
        passages="".join(spans),
    )


def _weight(passage: Passage, explanation: Explanation) -> float:
    """From -1 to 1: the change as a share of the largest one."""
    largest = max(abs(each.change) for each in explanation.passages)
    return passage.change / largest if largest else 0.0


def _printable(text: str) -> str:
    """Text without what would steer a terminal."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)
