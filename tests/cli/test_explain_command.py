"""`keras-performer explain`, on a document with a planted passage."""

import html.parser
import json

import pytest
from letter_classifier import probability_of_a

from keras_performer.cli import main as command_line

FILLER = "x <script>open('b')</script> & x. "
PLANTED = "aaaa aaaa. "


@pytest.fixture
def document(tmp_path):
    """A document of `a`, whose filler has some `b`."""
    filler = FILLER * 20
    path = tmp_path / "<document> & more.txt"
    path.write_text(filler + PLANTED * 10 + filler + "\x1b[31m")
    return path


class Page(html.parser.HTMLParser):
    """The tags of a page and the text of its spans in `main`."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.spans, self.in_main = [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.in_main |= tag == "main"
        if tag == "span" and self.in_main:
            self.spans.append([dict(attributes), ""])

    def handle_endtag(self, tag):
        self.in_main &= tag != "main"

    def handle_data(self, data):
        if self.in_main:
            self.spans[-1][1] += data


def explain(run, document, *flags):
    command = ["explain", "--run", str(run.path), "--shortest", "40", *flags]
    return command_line.main([*command, str(document)])


def test_the_planted_passage_has_the_most_weight(letter_run, document, capsys):
    assert explain(letter_run, document, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    text = document.read_text()
    assert found["label"] == "a"
    assert found["probability"] == pytest.approx(probability_of_a(text), abs=1e-4)
    assert "".join(passage["text"] for passage in found["passages"]) == text
    strongest = max(found["passages"], key=lambda passage: passage["change"])
    assert strongest["text"].count("a") >= 8
    without = text[: strongest["start"]] + text[strongest["end"] :]
    assert strongest["probability_without"] == pytest.approx(
        probability_of_a(without), abs=1e-4
    )


def test_text_has_marks_and_no_control_characters(letter_run, document, capsys):
    assert explain(letter_run, document, "--top", "3") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{document}\ta\t0.")
    assert sum("probability without it" in line for line in lines) == 3
    assert any(line.startswith("+++ change +") for line in lines)
    assert explain(letter_run, document, "--top", "1000") == 0
    text = capsys.readouterr().out
    assert "\x1b" not in text and any(
        line.startswith("-") for line in text.splitlines()
    )


def test_the_page_is_whole_and_escaped(letter_run, document, tmp_path):
    out = tmp_path / "why.html"
    assert explain(letter_run, document, "--html", str(out)) == 0
    source = out.read_text(encoding="utf-8")
    page = Page(source)
    assert not {"script", "link", "img", "document"} & set(page.tags)
    assert "http" not in source
    text = "".join(text for _, text in page.spans)
    assert text == document.read_text().replace("\x1b", "\ufffd")
    strongest = max(page.spans, key=lambda span: span[0]["style"])
    assert strongest[0]["class"] == "for" and "aaaa" in strongest[1]


def test_another_label_and_an_unknown_one(letter_run, document, capsys):
    assert explain(letter_run, document, "--json", "--label", "b") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["label"] == "b" and found["probability"] < 0.5
    assert explain(letter_run, document, "--label", "c") == 2
    assert "['a', 'b']" in capsys.readouterr().err
