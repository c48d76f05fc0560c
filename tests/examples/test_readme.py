"""README.md and the guides: the code runs, the commands parse, the links lead on."""

import re
import shlex
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_performer.cli.main import parser
from keras_performer.layers import FastAttention

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
PAGES = sorted(
    path
    for path in [*ROOT.glob("*.md"), *ROOT.glob("*/*.md"), *ROOT.glob("docs/*/*.md")]
    if not path.parent.name.startswith(".")
)


def code(page, language):
    """The blocks of a page in one language."""
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def commands(page):
    """The lines of a page that call `keras-performer`, as lists of arguments."""
    lines = "\n".join(code(page, "sh")).replace("\\\n", " ").splitlines()
    lines = [re.sub(r" >\S+", "", line.strip().rstrip("&")) for line in lines]
    return [
        shlex.split(line)[1:] for line in lines if line.startswith("keras-performer ")
    ]


def make_targets(page):
    """The targets that a page's commands and code name, as in `make test`."""
    text = page.read_text(encoding="utf-8")
    inline = re.findall(r"`make ([a-z][a-z-]*)", text)
    return set(
        inline
        + re.findall(
            r"^ *make ([a-z][a-z-]*)", "\n".join(code(page, "sh")), re.MULTILINE
        )
    )


def links(page):
    """Where the links and pictures of a page lead, those to other sites left out."""
    targets = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    return [target for target in targets if "://" not in target]


def test_the_swap_runs_and_keeps_the_weights():
    (swap,) = code(README, "python")
    names = {}
    exec(swap, names)
    model = names["model"]
    assert isinstance(model.layers[-1], FastAttention)
    ids = np.array([[5, 3, 0]])
    assert model(ids).shape == (1, 3, 512)

    exact = swap.replace("FastAttention(", "keras.layers.MultiHeadAttention(")
    exec(exact, names)
    shapes = [w.shape for w in names["model"].trainable_weights]
    assert [w.shape for w in model.trainable_weights] == shapes
    keras.backend.clear_session()


def test_the_stream_of_the_guide_runs():
    names = {"np": np}
    exec(code(ROOT / "docs" / "generation.md", "python")[-1], names)
    assert names["last"].shape == (1, 1, 512)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_parse(page):
    for arguments in commands(page):
        parser().parse_args(arguments)


def test_make_has_the_targets():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    there = set(re.findall(r"^([a-z][a-z-]*):", makefile, re.MULTILINE))
    named = {target for page in PAGES for target in make_targets(page)}
    assert {"demo", "test"} <= named <= there


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_to_files(page):
    missing = [
        target
        for target in links(page)
        if not (page.parent / (target.partition("#")[0] or page.name)).exists()
    ]
    assert missing == []


def test_commands_and_links_are_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("[a](b.md#c)\n```sh\nkeras-performer serve \\\n  --x=1 >y &\n```\n")
    assert links(page) == ["b.md#c"]
    assert commands(page) == [["serve", "--x=1"]]


def test_the_readme_has_commands():
    assert len(commands(README)) == 4
