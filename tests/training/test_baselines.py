import sys

import numpy as np
import pytest

from keras_performer.text import Documents
from keras_performer.training import baselines
from keras_performer.training.baselines import evaluate_baselines, utf8_windows


@pytest.fixture
def write(tmp_path):
    """A function from texts by class to `Documents`."""

    def write_documents(*classes, labels=("a", "b", "c")):
        paths, label_ids = [], []
        for label_id, texts in enumerate(classes):
            for text in texts:
                path = tmp_path / f"{len(list(tmp_path.iterdir()))}.txt"
                path.write_text(text, encoding="utf-8")
                paths.append(str(path))
                label_ids.append(label_id)
        return Documents(tuple(paths), tuple(label_ids), labels)

    return write_documents


def test_majority_counts_windows_and_documents(write):
    # The largest class is `c` by documents and `a` by windows of ten bytes.
    train = write(["x " * 50], ["y"], ["z", "z"])
    test = write(["x" * 20], ["y" * 30], ["z" * 30, "z"])
    result = evaluate_baselines(train, test, window_bytes=10)
    assert result.majority_window == 2 / (2 + 3 + 3 + 1)
    assert result.majority_document == 2 / 4


def test_tfidf_learns_words_marks_and_their_order(write):
    for one, two in (
        ("ship sails", "horse runs"),
        ("f(x)", "f[x]"),
        ("up down", "down up"),
        ("Word", "word"),
    ):
        train = write([f"{one} . "], [f"{two} . "], ["else"])
        result = evaluate_baselines(train, train, window_bytes=100)
        assert result.tfidf_window == result.tfidf_document == 1.0, (one, two)


def test_a_document_is_judged_by_all_its_windows(write):
    train = write(["red " * 40], ["blue " * 40], ["green " * 40])
    # Two windows of `b` outvote one of `a`.
    test = write([], ["red " * 4 + "blue" * 4 + " blue " * 2 + "blue"])
    result = evaluate_baselines(train, test, window_bytes=16)
    assert result.tfidf_document == 1.0
    assert 0 < result.tfidf_window < 1


def test_chance_where_there_is_nothing_to_learn(write):
    rng = np.random.default_rng(5)

    def texts(number):
        return [" ".join(rng.choice(list("uvwxyz"), 50)) for _ in range(number)]

    train = write(texts(30), texts(30), texts(30))
    test = write(texts(100), texts(100), texts(100))
    result = evaluate_baselines(train, test, window_bytes=10_000)
    # Four standard errors around a third.
    assert abs(result.tfidf_document - 1 / 3) < 4 * np.sqrt(2 / 9 / 300)


def test_a_class_that_was_not_trained_is_never_said(write):
    train = write(["red"], [], ["blue"])
    assert evaluate_baselines(train, write([], ["red"]), 100).tfidf_document == 0.0
    assert evaluate_baselines(train, write([], [], ["blue"]), 100).tfidf_document == 1.0


def test_windows_join_to_the_text_and_cut_no_character():
    text = ("aß€𝄞" * 25).encode()
    for window_bytes in range(4, 20):
        windows = utf8_windows(text, window_bytes)
        assert b"".join(windows) == text
        assert all(window.decode() for window in windows)
        assert max(map(len, windows)) <= window_bytes
        assert min(map(len, windows[:-1])) > window_bytes - 4


def test_an_empty_document_is_one_window(write):
    assert utf8_windows(b"", 4) == [b""]
    train = write(["red"], ["blue"])
    test = write(["red", ""], [])
    assert evaluate_baselines(train, test, 100).tfidf_document >= 0.5


def test_a_bounded_sample_of_every_class_is_measured(write):
    train = write(["red a " * 50] * 8, ["blue b " * 50], ["green c"])
    test = write(["red a " * 50] * 8, ["blue b " * 50] * 4, ["green c"] * 3)
    whole = evaluate_baselines(train, test, window_bytes=30)
    assert whole.num_train_windows == 8 * 10 + 12 + 1
    assert whole.num_test_documents == 15
    part = evaluate_baselines(train, test, window_bytes=30, max_bytes=1000)
    assert 8 + 1 + 1 <= part.num_train_windows <= 2 * (1000 // 30)
    assert part.num_test_documents == 4
    assert part.tfidf_document == 1.0


def test_one_test_document_is_in_memory_at_a_time(write, monkeypatch):
    train = write(["red a " * 50] * 9, ["blue b " * 50] * 9)
    largest = []
    real = baselines.estimators

    def estimators():
        vectorizer, classifier = real()
        transform = vectorizer.transform
        vectorizer.transform = lambda texts: (
            largest.append(len(texts)) or transform(texts)
        )
        return vectorizer, classifier

    monkeypatch.setattr(baselines, "estimators", estimators)
    evaluate_baselines(train, train, window_bytes=30)
    assert max(largest) == 12


def test_bad_arguments_are_refused(write):
    train = write(["red"], ["blue"])
    with pytest.raises(ValueError, match="window_bytes=3"):
        evaluate_baselines(train, train, 3)
    with pytest.raises(ValueError, match=r"test.labels=.*find_train_test"):
        evaluate_baselines(train, write(["red"], labels=("red",)), 100)
    with pytest.raises(ValueError, match="`train` has documents of 1 classes"):
        evaluate_baselines(write(["red"]), train, 100)
    with pytest.raises(ValueError, match="`test` has documents of 0 classes"):
        evaluate_baselines(train, write(), 100)


def test_missing_scikit_learn_is_named(write, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.feature_extraction.text", None)
    train = write(["red"], ["blue"])
    with pytest.raises(ImportError, match=r"pip install .*\[baselines\]"):
        evaluate_baselines(train, train, 100)
