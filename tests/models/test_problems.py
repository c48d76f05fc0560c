"""What outputs mean: joined windows, measures against scikit-learn, losses, models."""

import keras
import numpy as np
import pytest
from test_performer_backbone import VOCABULARY, T, backbone, draw_ids, randomize, run
from tolerances import assert_close

from keras_performer.layers import HashedNgrams
from keras_performer.models import PerformerTextClassifier
from keras_performer.models.problems import check_label_smoothing, get_problem

OWNERS = np.array([0, 0, 1])


def classifier(problem, num_classes):
    ngrams = HashedNgrams(64, [0] + [1] * (VOCABULARY - 1), seed=0)
    return randomize(
        PerformerTextClassifier(
            backbone(num_layers=1), num_classes, ngrams=ngrams, problem=problem
        )
    )


def test_windows_are_joined():
    p = np.array([[0.5, 0.5], [0.9, 0.1], [0.2, 0.8]])
    assert_close(
        get_problem("single_label").join_windows(p, OWNERS, 2), [[0.75, 0.25], p[2]]
    )
    odds = np.sqrt([0.9 / 0.1, 0.1 / 0.9])
    assert_close(
        get_problem("multi_label").join_windows(p, OWNERS, 2),
        [odds / (1 + odds), p[2]],
    )
    assert_close(
        get_problem("regression").join_windows(p[:, :1], OWNERS, 2), [[0.7], [0.2]]
    )


def test_measures_of_labels():
    metrics = pytest.importorskip("sklearn.metrics")
    random = np.random.default_rng(0)
    targets, p = random.integers(2, size=(50, 4)), random.uniform(size=(50, 4))
    measured = get_problem("multi_label").measures(p, targets)
    given = (p >= 0.5).astype(int)
    assert_close(
        measured["micro_f1"], metrics.f1_score(targets, given, average="micro")
    )
    assert_close(
        measured["macro_f1"], metrics.f1_score(targets, given, average="macro")
    )
    assert_close(measured["exact_match"], metrics.accuracy_score(targets, given))


def test_measures_of_numbers():
    metrics = pytest.importorskip("sklearn.metrics")
    random = np.random.default_rng(0)
    targets = random.normal(1900, 50, (50, 1))
    found = targets + random.normal(0, 20, (50, 1))
    measured = get_problem("regression").measures(found, targets)
    assert_close(measured["r2"], metrics.r2_score(targets, found))
    assert_close(measured["rmse"], metrics.mean_squared_error(targets, found) ** 0.5)
    assert_close(measured["mae"], metrics.mean_absolute_error(targets, found))


def test_what_is_right_has_no_loss():
    labels = get_problem("multi_label")
    p, targets = np.array([[0.9, 0.2], [0.9, 0.2]]), np.array([[1, 0], [0, 0]])
    assert_close(labels.losses(p, targets), [0, -np.log(0.1)])
    numbers = get_problem("regression")
    assert_close(numbers.losses(np.array([[3.0]]), np.array([[5.0]])), [2.0])


def test_several_labels_each_have_a_probability(tmp_path):
    model = classifier("multi_label", 3)
    model.experts.powers.assign([1.5, 0.5])
    ids = draw_ids(4, T)
    ngrams, encoder = (
        run(expert, ids).astype("float64")
        for expert in (model.ngram_classifier, model.encoder_classifier)
    )
    assert np.ptp(encoder.sum(-1)) > 1e-3
    odds = (ngrams / (1 - ngrams)) ** 1.5 * (encoder / (1 - encoder)) ** 0.5
    assert_close(run(model, ids), odds / (1 + odds))
    model.save(tmp_path / "model.keras")
    assert_close(
        run(keras.saving.load_model(tmp_path / "model.keras"), ids), odds / (1 + odds)
    )


def test_numbers_are_in_the_units_of_the_targets(tmp_path):
    model = classifier("regression", 1)
    ids = draw_ids(4, T)
    standardized = run(model, ids).astype("float64")
    model.units.adapt(np.array([[1800.0], [2000.0]]))
    expected = 1900 + 100 * standardized
    np.testing.assert_allclose(run(model, ids), expected, rtol=1e-5)
    model.save(tmp_path / "model.keras")
    restored = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(run(restored, ids), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("problem", "num_classes"),
    [("single_label", 1), ("multi_label", 0), ("regression", 2)],
)
def test_numbers_of_outputs(problem, num_classes):
    with pytest.raises(ValueError, match="`num_classes` must be an integer"):
        classifier(problem, num_classes)


def test_an_unknown_problem():
    with pytest.raises(ValueError, match="`problem` must be one of"):
        classifier("ranking", 2)


def test_a_target_without_variance():
    with pytest.raises(ValueError, match="the same number"):
        get_problem("regression").compile_arguments(np.ones((3, 1)))


def test_smoothed_labels_are_those_of_keras():
    loss = get_problem("single_label").compile_arguments(np.zeros(3), 0.2)["loss"]
    p = keras.ops.softmax(np.random.default_rng(0).normal(size=(7, 3)))
    labels = np.arange(7) % 3
    expected = keras.losses.CategoricalCrossentropy(label_smoothing=0.2)
    assert_close(loss(labels, p), expected(np.eye(3)[labels], p))
    assert_close(loss(labels[:, None], p), loss(labels, p))
    assert float(loss([0, 1], np.eye(3)[:2])) > 0.5  # sure, right, and not free
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert_close(again(labels, p), loss(labels, p))


def test_smoothing_of_several_labels():
    targets = np.eye(3)
    for smoothing, least in ((0.0, 0.0), (0.2, 0.5)):
        arguments = get_problem("multi_label").compile_arguments(targets, smoothing)
        assert float(arguments["loss"](targets, targets)) >= least


def test_a_number_has_no_labels_to_smooth():
    with pytest.raises(ValueError, match=r"a number has none: leave it out"):
        get_problem("regression").compile_arguments(np.arange(3.0)[:, None], 0.1)


@pytest.mark.parametrize("smoothing", [-0.1, 1.0])
def test_label_smoothing_out_of_range(smoothing):
    with pytest.raises(ValueError, match=r"`label_smoothing` must be in \[0, 1\)"):
        check_label_smoothing("single_label", smoothing)
