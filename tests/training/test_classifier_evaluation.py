"""Accuracies of a classifier whose every answer is known."""

import numpy as np
import pytest

from keras_performer.text import ByteTokenizer, find_documents
from keras_performer.training import evaluate_classifier
from keras_performer.training.evaluation import mean_log_probabilities


class CountsLetters:
    """Says by how much more often `a` is in a row of ids than `b`: class 0 or 1."""

    def predict_on_batch(self, ids):
        a, b = (np.sum(np.asarray(ids) == 1 + ord(letter), axis=1) for letter in "ab")
        share = (a + 0.99) / (a + b + 2)  # of as many, rather b
        return np.stack([share, 1 - share], axis=-1)


def test_windows_documents_and_whole_texts_are_measured_apart(tmp_path):
    texts = {
        "a": ["aaaa", "aaaaabbbabbb"],  # windows of 4: a; a, b, b
        "b": ["bbbbabbbaaaa", "aaab"],  # b, b, a; a
    }
    for label, each in texts.items():
        (tmp_path / label).mkdir()
        for index, text in enumerate(each):
            (tmp_path / label / f"{index}.txt").write_text(text)
    documents = find_documents(tmp_path)
    found = evaluate_classifier(CountsLetters(), ByteTokenizer(), documents, 4, 8)
    assert (found.num_windows, found.num_documents) == (8, 4)
    # Right: `aaaa`, of the second the first, of the third the first two.
    assert found.windows == 4 / 8
    # One sure window outweighs two unsure ones, also of the second, whose whole is b.
    assert found.documents == 3 / 4
    assert found.whole == 2 / 4


def test_a_sure_window_counts_for_more_than_two_unsure_ones():
    probabilities = np.array([[0.4, 0.6], [0.4, 0.6], [0.99, 0.01], [0.0, 1.0]])
    means = mean_log_probabilities(probabilities, np.array([0, 0, 0, 1]), 3)
    assert means[0] == pytest.approx(
        np.log([0.4, 0.6]) * 2 / 3 + np.log([0.99, 0.01]) / 3
    )
    assert means.argmax(-1)[:2].tolist() == [0, 1]
    assert np.isfinite(
        means
    ).all()  # of no probability, and of a document without windows
