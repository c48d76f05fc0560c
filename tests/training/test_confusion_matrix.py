"""Scores by class, compared with scikit-learn's."""

import sys

import numpy as np
import pytest

from keras_performer.training.evaluation import ConfusionMatrix

# Of seven classes, the last is neither a truth nor an answer, the one before never an
# answer, and the one before that never a truth.
LABELS = ("a", "b", "c", "d", "never true", "never predicted", "nowhere")


@pytest.fixture(scope="module")
def ids():
    generator = np.random.default_rng(0)
    true = generator.choice([0, 1, 2, 3, 5], 101)
    noise = generator.choice(5, 101)
    return true, np.where((generator.random(101) < 0.6) & (true < 5), true, noise)


def test_scores_are_those_of_scikit_learn(ids):
    metrics = pytest.importorskip("sklearn.metrics")
    matrix = ConfusionMatrix(*ids, LABELS)
    every = range(len(LABELS))
    theirs = metrics.confusion_matrix(*ids, labels=every)
    np.testing.assert_array_equal(matrix.counts, theirs)

    def scores(average, labels=None):
        return metrics.precision_recall_fscore_support(
            *ids, labels=labels, average=average, zero_division=0
        )

    ours = [(s.precision, s.recall, s.f1, s.support) for s in matrix.scores().values()]
    np.testing.assert_allclose(np.transpose(ours), scores(None, every), rtol=1e-12)
    for weighted, average in ((False, "macro"), (True, "weighted")):
        mean = matrix.mean(weighted)
        np.testing.assert_allclose(
            (mean.precision, mean.recall, mean.f1), scores(average)[:3], rtol=1e-12
        )
        assert mean.support == 101


def test_the_text_has_a_row_for_each_class_and_room_for_large_counts():
    lines = ConfusionMatrix([0] * 12_345 + [1], [0] * 12_345 + [0], "ab").text()
    assert lines.splitlines() == [
        "           1      2",
        "  1 a  12345      0",
        "  2 b      1      0",
    ]


@pytest.mark.parametrize(
    ("true", "predicted", "message"),
    [
        ([0, 1], [0], r"one shape .* \(2,\) and \(1,\)"),
        ([], [], "at least one document"),
        ([0, 2], [0, 1], r"`label_ids` must be indices of the 2 labels.*from 0 to 2"),
        ([0, 1], [0, -1], r"`predicted_ids`.*from -1 to 0"),
    ],
)
def test_wrong_ids_are_named(true, predicted, message):
    with pytest.raises(ValueError, match=message):
        ConfusionMatrix(true, predicted, ("a", "b"))


def test_the_picture_is_a_png(tmp_path, ids):
    pytest.importorskip("matplotlib")
    path = tmp_path / "confusion.png"
    ConfusionMatrix(*ids, (*LABELS[:-1], "a $ and a $")).save_picture(path)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_a_picture_without_matplotlib_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"Matplotlib.*figures"):
        ConfusionMatrix([0], [0], "a").save_picture(tmp_path / "confusion.png")
