"""What a model of several labels, or of a number, is to be measured against."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from keras_performer.extras import pip_line
from keras_performer.models.problems import get_problem
from keras_performer.text import Documents
from keras_performer.training.baselines import (
    MAX_BYTES,
    count_bytes,
    estimators,
    read_windows,
    tfidf_features,
)

_Predict = Callable[[Any], np.ndarray]  # from features (N, features) to outputs (N, F)


def evaluate_target_baselines(
    train: Documents,
    test: Documents,
    window_bytes: int,
    max_bytes: int = MAX_BYTES,
) -> dict[str, Any]:
    """Trains the baselines on windows of documents, and tests them.

    The features are those of `evaluate_baselines`, as are the samples of large data.
    Several labels are predicted by a logistic regression of each (one-vs-rest), a
    number by ridge regression, and by the mean. Windows are joined as the model's are.

    Args:
        train: `Documents` to train on, with several labels or a number each.
        test: `Documents` to test on.
        window_bytes: Largest length of a window, in bytes of UTF-8.
        max_bytes: Largest number of bytes to train on, and to test on.

    Returns:
        Dictionary of `"rows"`: from the name of a baseline to `"windows"` and
        `"documents"`, each a dictionary of measures; `"num_train_windows"` and
        `"num_test_documents"`.

    Raises:
        ImportError: If scikit-learn is not installed.
    """
    problem = get_problem(train.problem)
    vectorizer, _ = estimators()
    features, owners = tfidf_features(vectorizer, train, window_bytes, max_bytes)
    baselines = {
        name: fit(features, train.targets[owners])
        for name, fit in _FITS[train.problem].items()
    }
    sample = range(0, len(test), -(-count_bytes(test) // max_bytes))
    outputs: dict[str, list[np.ndarray]] = {name: [] for name in baselines}
    test_owners: list[int] = []
    for position, index in enumerate(sample):
        windows = read_windows(test, index, window_bytes)
        found = vectorizer.transform(windows)
        test_owners += [position] * len(windows)
        for name, predict in baselines.items():
            outputs[name].append(predict(found))
    targets, of_windows = test.targets[list(sample)], np.array(test_owners)
    rows = {}
    for name, parts in outputs.items():
        joined = np.concatenate(parts)
        documents = problem.join_windows(joined, of_windows, len(sample))
        rows[name] = {
            "windows": problem.measures(joined, targets[of_windows]),
            "documents": problem.measures(documents, targets),
        }
    return {
        "rows": rows,
        "num_train_windows": len(owners),
        "num_test_documents": len(sample),
    }


def _fit_labels(features: Any, targets: np.ndarray) -> _Predict:
    """A logistic regression of each label; one that all have, or none, is constant."""
    each: list[_Predict] = []
    for column in targets.T:
        if column.min() == column.max():
            each.append(_constant(column[0]))
        else:
            _, classifier = estimators()
            classifier.fit(features, column)
            each.append(functools.partial(_probability, classifier))
    return lambda x: np.concatenate([predict(x) for predict in each], axis=1)


def _probability(classifier: Any, features: Any) -> np.ndarray:
    return classifier.predict_proba(features)[:, 1:]


def _fit_ridge(features: Any, targets: np.ndarray) -> _Predict:
    try:
        from sklearn.linear_model import Ridge
    except ImportError as error:
        raise ImportError(
            f"The baselines need scikit-learn. Install it with: {pip_line('baselines')}"
        ) from error
    ridge = Ridge().fit(features, targets[:, 0])
    return lambda x: ridge.predict(x)[:, None]


def _fit_mean(features: Any, targets: np.ndarray) -> _Predict:
    return _constant(targets.mean())


def _constant(value: float) -> _Predict:
    return lambda x: np.full((x.shape[0], 1), float(value))


_FITS: dict[str, dict[str, Callable[[Any, np.ndarray], _Predict]]] = {
    "multi_label": {"TF-IDF + logistic regressions": _fit_labels},
    "regression": {"mean": _fit_mean, "TF-IDF + ridge regression": _fit_ridge},
}
