"""`fit_experts`: how much n-grams and encoder count, by documents held out."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from keras_performer.models.experts import (
    SMALLEST_LABEL_PROBABILITY,
    SMALLEST_PROBABILITY,
)

_NEWTON_STEPS = 50
_RIDGE = 1e-3  # towards powers of 1: a few documents may be told apart without an end


def fit_expert_powers(
    probabilities: npt.ArrayLike, label_ids: npt.ArrayLike, owners: npt.ArrayLike
) -> tuple[float, float]:
    """Fits the powers of a product of two experts on windows of documents held out.

    The powers have the lowest mean of `-log p(label)`, with `p` proportional to
    `p1**a * p2**b`: a convex problem of two numbers. The second expert has to earn its
    place: its power is 0, and the first one's fitted alone, unless it lowers the loss
    of a document by more than two standard errors of that difference.

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
    gains = _losses(alone, logs, label_ids) - _losses(both, logs, label_ids)
    return _choose(alone, both, gains, owners)


def fit_label_expert_powers(
    probabilities: npt.ArrayLike, targets: npt.ArrayLike, owners: npt.ArrayLike
) -> tuple[float, float]:
    """Fits the powers of two experts that know several labels, each yes or no.

    As `fit_expert_powers`, with a choice of two for each window and label.

    Args:
        probabilities: Of both experts, of shape (2, windows, labels).
        targets: 1 for each label that a window's document has, of shape
            (windows, labels).
        owners: Index of each window's document, of shape (windows,).

    Returns:
        The powers, none of them negative.
    """
    targets = np.asarray(targets, int)
    least = SMALLEST_LABEL_PROBABILITY
    p = np.clip(np.asarray(probabilities, "float64"), least, 1 - least)
    p = p.reshape(len(p), -1)
    each_label: np.ndarray = np.repeat(np.asarray(owners), targets.shape[1])
    return fit_expert_powers(np.stack([1 - p, p], -1), targets.ravel(), each_label)


def fit_expert_sum(
    numbers: npt.ArrayLike, targets: npt.ArrayLike, owners: npt.ArrayLike
) -> tuple[tuple[float, float], float]:
    """Fits the weights of a sum of two predicted numbers by least squares.

    `center + a * (y1 - center) + b * (y2 - center)`, with the mean of the targets as
    the center. The second has to earn its place, as in `fit_expert_powers`.

    Args:
        numbers: Of both experts, of shape (2, windows, 1).
        targets: Target of each window, of shape (windows, 1).
        owners: Index of each window's document, of shape (windows,).

    Returns:
        The weights, none of them negative, and the center.

    Example:

    >>> import numpy as np
    >>> truth = np.array([[1.0], [2.0], [3.0], [4.0]])
    >>> (a, b), center = fit_expert_sum([truth, truth**0], truth, np.arange(4))
    >>> round(a, 2), b, center
    (1.0, 0.0, 2.5)
    """
    targets = np.asarray(targets, "float64")[:, 0]
    center = float(targets.mean())
    y = targets - center
    x = np.asarray(numbers, "float64")[..., 0] - center  # (2, windows)
    ridge = _RIDGE * y.var() * len(y) + np.finfo("float64").tiny
    both = np.linalg.solve(x @ x.T + ridge * np.eye(2), x @ y)
    alone = np.array([max(x[0] @ y / (x[0] @ x[0] + ridge), 0.0), 0.0])
    gains = np.square(y - alone @ x) - np.square(y - both @ x)
    return _choose(alone, both, gains, np.asarray(owners)), center


def fit_experts(
    problem: str,
    outputs: npt.ArrayLike,
    targets: npt.ArrayLike,
    owners: npt.ArrayLike,
) -> list[npt.ArrayLike]:
    """Fits how much n-grams and encoder count.

    Args:
        problem: Name of the problem.
        outputs: What both say of windows of documents held out, (2, windows, F).
        targets: Target of each window, the first axis (windows,).
        owners: Index of each window's document, of shape (windows,).

    Returns:
        Weights of the layer that joins them, the powers first.
    """
    fits: dict[str, Callable[..., list[npt.ArrayLike]]] = {
        "single_label": lambda *windows: [fit_expert_powers(*windows)],
        "multi_label": lambda *windows: [fit_label_expert_powers(*windows)],
        "regression": lambda *windows: [*fit_expert_sum(*windows)],
    }
    return fits[problem](outputs, targets, owners)


def _choose(
    alone: np.ndarray, both: np.ndarray, gains: np.ndarray, owners: np.ndarray
) -> tuple[float, float]:
    """The powers of both experts, if these gain more than two standard errors."""
    if both.min() <= 0:
        return float(alone[0]), 0.0
    count = np.bincount(owners)
    by_document = np.bincount(owners, gains)[count > 0] / count[count > 0]
    error = by_document.std(ddof=1) / np.sqrt(len(by_document))
    powers = both if by_document.mean() > 2 * error else alone
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
