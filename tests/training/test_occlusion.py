"""Passages of a document that decide its label are found by few predictions."""

import random

import numpy as np
import pytest

from keras_performer.text import WordPieceTokenizer
from keras_performer.training.evaluation import explain_by_occlusion
from keras_performer.training.evaluation.occlusion import _split

WORDS = ["rain", "wind", "grass", "stone", "cloud", "field.", "hill.\n", "path.\n\n"]


def document(length, *planted):
    """A text of some thousand words, with words planted at shares of its length."""
    generator = random.Random(length)
    words = generator.choices(WORDS, k=length)
    for share, word in planted:
        words.insert(int(share * length), word)
    return " ".join(words)


class CountsWords:
    """Says by its words whether a text is of class 1, and counts what it is asked."""

    def __init__(self, **weights):
        self.weights = weights
        self.num_texts = 0

    def __call__(self, texts):
        self.num_texts += len(texts)
        logits = np.array(
            [
                sum(weight * text.count(word) for word, weight in self.weights.items())
                for text in texts
            ]
        )
        p = (1 / (1 + np.exp(-logits))).astype("float32")
        q = (1 / (1 + np.exp(logits))).astype("float32")
        return np.stack([q, p], axis=1)


def passages_with(explanation, text, word):
    return [p for p in explanation.passages if word in text[p.start : p.end]]


def test_a_planted_passage_is_found_in_a_long_document():
    text = document(20_000, (0.37, "whale"))
    model = CountsWords(whale=3.0)
    found = explain_by_occlusion(model, text, max_predictions=40)
    assert model.num_texts == found.num_predictions <= 40
    strongest = max(found.passages, key=lambda p: p.change)
    assert [strongest] == passages_with(found, text, "whale")
    assert strongest.end - strongest.start < 400 < len(text) / 200
    assert strongest.probability_without == pytest.approx(0.5)
    assert strongest.change == pytest.approx(np.log(found.probability / 0.5), rel=1e-5)
    assert found.label_id == 1
    # They cover the document, in its order.
    joined = "".join(text[p.start : p.end] for p in found.passages)
    assert joined == text


def test_what_speaks_against_a_label_has_a_negative_change():
    text = document(3_000, (0.2, "whale"), (0.8, "plough"))
    found = explain_by_occlusion(CountsWords(whale=3.0, plough=-1.0), text)
    [against] = passages_with(found, text, "plough")
    assert against.change < 0 < max(p.change for p in found.passages)
    other = explain_by_occlusion(CountsWords(whale=3.0, plough=-1.0), text, label_id=0)
    [speaks_for] = passages_with(other, text, "plough")
    assert speaks_for.change > 0
    assert other.probability == pytest.approx(1 - found.probability, abs=1e-6)


def test_a_model_that_is_all_but_sure_still_tells_passages_apart():
    text = document(3_000, (0.2, "whale"), (0.8, "ship"))
    found = explain_by_occlusion(CountsWords(whale=30.0, ship=20.0), text)
    assert found.probability == 1.0  # in float32
    [whale], [ship] = (passages_with(found, text, word) for word in ("whale", "ship"))
    assert whale.change > ship.change > 0
    others = [p.change for p in found.passages if p not in (whale, ship)]
    assert max(np.abs(others)) < ship.change / 10


def test_short_and_empty_texts_are_one_passage():
    for text in ("", "a whale"):
        found = explain_by_occlusion(CountsWords(whale=3.0), text)
        [passage] = found.passages
        assert (passage.start, passage.end) == (0, len(text))
        assert passage.probability_without == pytest.approx(0.5)


def test_passages_end_at_paragraphs_lines_and_words():
    text = document(2_000)
    spans = _split(text, 0, len(text), 8)
    assert len(spans) == 8
    assert [start for start, _ in spans[1:]] == [end for _, end in spans[:-1]]
    for _, end in spans[:-1]:
        assert text[:end].endswith("\n\n") or text[:end].rstrip(" ").endswith("\n\n")
    # A text without any space is cut all the same.
    assert _split("書" * 10, 0, 10, 3) == [(0, 3), (3, 7), (7, 10)]


def test_leaving_text_out_is_leaving_its_tokens_out():
    pytest.importorskip("tensorflow_text")
    text = document(300)
    pieces = ["##" + letter for letter in "abcdefghijklmnopqrstuvwxyz"]
    letters = [piece[2:] for piece in pieces]
    tokenizer = WordPieceTokenizer(["[PAD]", "[UNK]", ".", *letters, *pieces])
    spans = _split(text, 0, len(text), 7)
    parts = tokenizer.tokenize([text[start:end] for start, end in spans])
    whole = tokenizer.tokenize([text])
    np.testing.assert_array_equal(parts.values.numpy(), whole.values.numpy())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_passages": 0}, "num_passages=0"),
        ({"shortest": 0}, "shortest=0"),
        ({"max_predictions": 16}, "max_predictions=16, num_passages=16"),
        ({"label_id": 2}, "index of the 2 classes.*label_id=2"),
    ],
)
def test_arguments_out_of_range_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        explain_by_occlusion(CountsWords(whale=0.01), "whale " * 1_000, **arguments)
