"""`calibration_error`: how far a classifier's probabilities are from its accuracy."""

import dataclasses

import numpy as np
import numpy.typing as npt

from keras_performer.layers.validation import check_size


@dataclasses.dataclass(frozen=True)
class CalibrationBin:
    """The documents whose predicted class has a probability in `(low, high]`.

    Attributes:
        low: Lower end of the bin.
        high: Upper end of the bin.
        number: Number of documents.
        confidence: Mean probability of the predicted class.
        accuracy: Share of right documents.
    """

    low: float
    high: float
    number: int
    confidence: float
    accuracy: float


@dataclasses.dataclass(frozen=True)
class Calibration:
    """How far the probabilities of the predicted classes are from the accuracy.

    Attributes:
        error: The expected calibration error, from 0 to 1.
        bins: The `CalibrationBin`s that have documents, in order.
    """

    error: float
    bins: tuple[CalibrationBin, ...]


def calibration_error(
    probabilities: npt.ArrayLike, label_ids: npt.ArrayLike, num_bins: int = 15
) -> Calibration:
    """Measures the expected calibration error.

    A classifier is calibrated where it is right in nine of ten documents that it gives
    a probability of 0.9. Documents are put into bins of equal width by the probability
    of the predicted class; the error is `sum_b n_b / N |accuracy_b - confidence_b|`
    over the bins (Guo et al., *On Calibration of Modern Neural Networks*, arXiv
    1706.04599). With few documents a bin, chance alone makes it larger than 0.

    Args:
        probabilities: Probabilities of shape (N, classes).
        label_ids: True class of each document, integers of shape (N,).
        num_bins: Number of bins between 0 and 1.

    Returns:
        A `Calibration`.

    Raises:
        ValueError: If the shapes do not belong together, or there is no document.

    Example:

    >>> import numpy as np
    >>> p = np.array([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.2, 0.8]])
    >>> measured = calibration_error(p, [0, 0, 1, 1], num_bins=10)
    >>> [(b.number, round(b.accuracy, 2)) for b in measured.bins]
    [(1, 1.0), (3, 0.67)]
    >>> round(measured.error, 3)
    0.225
    """
    check_size("num_bins", num_bins)
    probabilities, label_ids = np.asarray(probabilities), np.asarray(label_ids)
    if probabilities.ndim != 2 or label_ids.shape != probabilities.shape[:1]:
        raise ValueError(
            "`probabilities` must have the shape (N, classes), and `label_ids` (N,). "
            f"Received: {probabilities.shape} and {label_ids.shape}"
        )
    if not len(label_ids):
        raise ValueError("`label_ids` is empty. Expected at least one document.")
    confidence = probabilities.max(-1).astype("float64")
    is_right = probabilities.argmax(-1) == label_ids
    edges = np.linspace(0, 1, num_bins + 1)
    owners = np.searchsorted(edges[1:-1], confidence)
    bins = tuple(
        CalibrationBin(
            low=float(edges[index]),
            high=float(edges[index + 1]),
            number=int(np.sum(owners == index)),
            confidence=float(np.mean(confidence[owners == index])),
            accuracy=float(np.mean(is_right[owners == index])),
        )
        for index in np.unique(owners)
    )
    error = sum(b.number * abs(b.accuracy - b.confidence) for b in bins)
    return Calibration(error=error / len(label_ids), bins=bins)
