"""What any classifier of documents is to be measured against: chance, and TF-IDF.

The two are printed beside every accuracy: the largest class, and logistic regression
on TF-IDF features of words and pairs of words, which is hard to beat on documents
whose vocabulary tells their class.
"""

import dataclasses
import pathlib
from typing import Any

import numpy as np
import numpy.typing as npt

from keras_performer.extras import pip_line
from keras_performer.text import Documents
from keras_performer.training.evaluation.classifier import mean_log_probabilities

# Words, identifiers and numbers, and each mark: for prose and program code alike.
_TOKEN = r"\w+|[^\w\s]"
_MAX_FEATURES = 200_000
# Less regularization than the usual 1: better by window and by document on program
# code (8 classes) and on unseen novels (20 authors).
_INVERSE_REGULARIZATION = 100.0
_MAX_CHARACTER = 4  # bytes of UTF-8


@dataclasses.dataclass(frozen=True)
class Baselines:
    """Accuracies on the test documents, by window and by document.

    Attributes:
        majority_window: Share of the windows of the largest class of training windows.
        majority_document: Share of the documents of the largest class of training
            documents.
        tfidf_window: Share of right windows of the TF-IDF baseline.
        tfidf_document: Share of right documents, by the mean of their windows' log
            probabilities.
    """

    majority_window: float
    majority_document: float
    tfidf_window: float
    tfidf_document: float


def evaluate_baselines(
    train: Documents, test: Documents, window_bytes: int
) -> Baselines:
    """Trains the baselines on windows of documents, and tests them.

    A classifier that reads windows of a length is compared fairly with one that reads
    the same: documents are cut into windows of `window_bytes` bytes. A document is
    judged as the model judges it, by the mean of its windows' log probabilities.

    The features are the 200,000 most frequent words, marks and pairs of them, weighted
    `(1 + log(count)) * idf`, rows of length one. The classifier is multinomial
    logistic regression.

    Args:
        train: `Documents` to train on.
        test: `Documents` to test on, with the same labels.
        window_bytes: Largest length of a window, in bytes of UTF-8.

    Returns:
        `Baselines`.

    Raises:
        ImportError: If scikit-learn is not installed.
        ValueError: If `train` and `test` have different labels, if one of them has no
            documents or `train` but one class, or if `window_bytes` is below 4.

    Example:

    >>> import pathlib
    >>> from keras_performer.text import Documents
    >>> from keras_performer.training.baselines import evaluate_baselines
    >>> for name, text in (("sea", "a whale of a ship "), ("land", "a horse, a hut ")):
    ...     _ = pathlib.Path(f"{name}.txt").write_text(text * 20)
    >>> documents = Documents(("land.txt", "sea.txt"), (0, 1), ("land", "sea"))
    >>> evaluate_baselines(documents, documents, window_bytes=100).tfidf_document
    1.0
    """
    if window_bytes < _MAX_CHARACTER:
        raise ValueError(
            f"window_bytes={window_bytes!r} was passed. Expected at least "
            f"{_MAX_CHARACTER}, the most bytes of a character."
        )
    if train.labels != test.labels:
        raise ValueError(
            f"train.labels={train.labels!r} and test.labels={test.labels!r} were "
            "passed. Expected the same: find both with `find_train_test`."
        )
    for name, documents, least in (("train", train, 2), ("test", test, 1)):
        classes = len(set(documents.label_ids))
        if classes < least:
            raise ValueError(
                f"`{name}` has documents of {classes} classes. Expected at least "
                f"{least}."
            )
    vectorizer, classifier = _estimators()
    train_windows, train_owners = _windows(train, window_bytes)
    classifier.fit(
        vectorizer.fit_transform(train_windows),
        np.take(train.label_ids, train_owners),
    )
    test_windows, owners = _windows(test, window_bytes)
    probabilities = np.zeros((len(owners), len(test.labels)))
    probabilities[:, classifier.classes_] = classifier.predict_proba(
        vectorizer.transform(test_windows)
    )
    by_document = mean_log_probabilities(probabilities, owners, len(test.paths))
    truth = np.array(test.label_ids)
    return Baselines(
        majority_window=_share(_majority(train, train_owners), truth[owners]),
        majority_document=_share(_majority(train, np.arange(len(train))), truth),
        tfidf_window=_share(probabilities.argmax(-1), truth[owners]),
        tfidf_document=_share(by_document.argmax(-1), truth),
    )


def utf8_windows(text: bytes, window_bytes: int) -> list[bytes]:
    """Cuts a text into windows of bytes, between characters.

    Args:
        text: Bytes of UTF-8.
        window_bytes: Largest length of a window, at least 4.

    Returns:
        List of bytes, which joined are `text`; of an empty text, one empty window.

    Example:

    >>> from keras_performer.training.baselines import utf8_windows
    >>> [window.decode() for window in utf8_windows("naïveté".encode(), 4)]
    ['naï', 'vet', 'é']
    """
    windows: list[bytes] = []
    start = 0
    while start < len(text) or not windows:
        end = start + window_bytes
        while end < len(text) and _is_continuation(text[end]):
            end -= 1
        windows.append(text[start:end])
        start = end
    return windows


def _is_continuation(byte: int) -> bool:
    """Whether a byte of UTF-8 is inside a character, not its first."""
    return byte & 0b1100_0000 == 0b1000_0000


def _windows(documents: Documents, window_bytes: int) -> tuple[list[str], np.ndarray]:
    """The windows of all documents as strings, and whose they are."""
    windows: list[str] = []
    owners: list[int] = []
    for owner, path in enumerate(documents.paths):
        cut = utf8_windows(pathlib.Path(path).read_bytes(), window_bytes)
        windows += [window.decode("utf-8") for window in cut]
        owners += [owner] * len(cut)
    return windows, np.array(owners)


def _majority(documents: Documents, owners: npt.ArrayLike) -> np.intp:
    """The most frequent class, where each document counts once for each owned thing."""
    return np.bincount(np.take(documents.label_ids, owners)).argmax()


def _share(predicted: Any, truth: np.ndarray) -> float:
    return float(np.mean(predicted == truth))


def _estimators() -> tuple[Any, Any]:
    try:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
    except ImportError as error:
        raise ImportError(
            f"The baselines need scikit-learn. Install it with: {pip_line('baselines')}"
        ) from error
    vectorizer = TfidfVectorizer(
        token_pattern=_TOKEN,
        lowercase=False,
        ngram_range=(1, 2),
        max_features=_MAX_FEATURES,
        sublinear_tf=True,
        dtype=np.float32,
    )
    return vectorizer, LogisticRegression(C=_INVERSE_REGULARIZATION, max_iter=1_000)
