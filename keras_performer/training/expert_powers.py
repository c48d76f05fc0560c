"""`fit_expert_powers`: how much n-grams and encoder count, by documents held out."""

import numpy as np
import numpy.typing as npt

from keras_performer.models.performer_text_classifier import SMALLEST_PROBABILITY

_NEWTON_STEPS = 50
_RIDGE = 1e-3  # towards powers of 1: a few documents may be told apart without an end


def fit_expert_powers(
    probabilities: npt.ArrayLike, label_ids: npt.ArrayLike, owners: npt.ArrayLike
) -> tuple[float, float]:
    """Fits the powers of a product of two experts on windows of documents held out.

    The powers have the lowest mean of `-log p(label)`, with `p` proportional to
    `p1**a * p2**b`: a convex problem of two numbers. The second expert has to earn its
    place: its power is 0, and the first one's fitted alone, unless it lowers the loss
    of a document by more than the standard error of that difference.

    Args:
        probabilities: Probabilities of both experts, of shape (2, windows, classes).
        label_ids: True class of each window, integers of shape (windows,).
        owners: Index of each window's document, integers of shape (windows,).

    Returns:
        The powers, none of them negative.

    Example:

    >>> import numpy as np
    >>> first = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.4, 0.6]])
    >>> knows_nothing = np.full((4, 2), 0.5)
    >>> labels, owners = np.array([0, 1, 1, 1]), np.arange(4)
    >>> a, b = fit_expert_powers([first, knows_nothing], labels, owners)
    >>> a > 0, b
    (True, 0.0)
    """
    p = np.asarray(probabilities, "float64")
    logs = np.log(np.maximum(p, SMALLEST_PROBABILITY))
    label_ids, owners = np.asarray(label_ids), np.asarray(owners)
    alone = np.array([_fit(logs[:1], label_ids)[0], 0.0])
    both = _fit(logs, label_ids)
    if both.min() <= 0:
        return float(alone[0]), 0.0
    gains = _losses(alone, logs, label_ids) - _losses(both, logs, label_ids)
    count = np.bincount(owners)
    by_document = np.bincount(owners, gains)[count > 0] / count[count > 0]
    error = by_document.std(ddof=1) / np.sqrt(len(by_document))
    powers = both if by_document.mean() > error else alone
    return float(powers[0]), float(powers[1])


def _join(powers: np.ndarray, logs: np.ndarray) -> np.ndarray:
    """Log probabilities of the product, (windows, classes)."""
    joint = np.tensordot(powers, logs, 1)
    joint -= joint.max(-1, keepdims=True)
    return joint - np.log(np.exp(joint).sum(-1, keepdims=True))


def _losses(powers: np.ndarray, logs: np.ndarray, label_ids: np.ndarray) -> np.ndarray:
    return -_join(powers, logs)[np.arange(len(label_ids)), label_ids]


def _fit(logs: np.ndarray, label_ids: np.ndarray) -> np.ndarray:
    """Newton's method, each step halved until it lowers the loss."""
    rows = np.arange(len(label_ids))

    def loss(powers: np.ndarray) -> float:
        ridge = _RIDGE * np.square(powers - 1).sum() / 2
        return float(_losses(powers, logs, label_ids).mean() + ridge)

    powers = np.ones(len(logs))
    for _ in range(_NEWTON_STEPS):
        p = np.exp(_join(powers, logs))
        means = (p * logs).sum(-1)  # (experts, windows)
        gradient = (means - logs[:, rows, label_ids]).mean(-1) + _RIDGE * (powers - 1)
        centred = logs - means[..., None]
        hessian = np.einsum("iwc,jwc,wc->ij", centred, centred, p) / len(rows)
        step = np.linalg.solve(hessian + _RIDGE * np.eye(len(powers)), gradient)
        size = 1.0
        while size > 1e-6 and loss(powers - size * step) > loss(powers):
            size /= 2
        powers = powers - size * step
        if np.abs(size * step).max() < 1e-9:
            break
    return powers
