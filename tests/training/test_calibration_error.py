"""The calibration error, compared with scikit-learn's reliability curve."""

import numpy as np
import pytest

from keras_performer.training.evaluation import calibration_error


def test_bins_are_those_of_scikit_learn():
    calibration = pytest.importorskip("sklearn.calibration")
    generator = np.random.default_rng(0)
    probabilities = generator.dirichlet([0.5, 0.5, 0.5], 500)
    labels = generator.integers(0, 3, 500)
    measured = calibration_error(probabilities, labels, num_bins=10)
    is_right = probabilities.argmax(-1) == labels
    accuracy, confidence = calibration.calibration_curve(
        is_right, probabilities.max(-1), n_bins=10
    )
    np.testing.assert_allclose([b.accuracy for b in measured.bins], accuracy)
    np.testing.assert_allclose([b.confidence for b in measured.bins], confidence)
    numbers = np.array([b.number for b in measured.bins])
    assert numbers.sum() == 500
    expected = np.sum(numbers / 500 * np.abs(accuracy - confidence))
    assert measured.error == pytest.approx(expected)
    for b in measured.bins:
        assert b.low < b.confidence <= b.high == pytest.approx(b.low + 0.1)


def test_a_sure_and_right_classifier_has_no_error():
    measured = calibration_error(np.eye(3, dtype="float32"), [0, 1, 2])
    assert measured.error == 0
    assert [b.number for b in measured.bins] == [3]


@pytest.mark.parametrize(
    ("shape", "number", "bins", "message"),
    [
        ((2, 3), 3, 5, r"\(2, 3\) and \(3,\)"),
        ((2,), 2, 5, r"shape \(N, classes\)"),
        ((0, 3), 0, 5, "empty"),
        ((2, 3), 2, 0, "num_bins=0"),
    ],
)
def test_wrong_shapes_are_named(shape, number, bins, message):
    with pytest.raises(ValueError, match=message):
        calibration_error(np.full(shape, 0.5), [0] * number, bins)
