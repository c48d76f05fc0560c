"""What any classifier of documents is to be measured against: chance, and TF-IDF.

The two are printed beside every accuracy: the largest class, and logistic regression
on TF-IDF features of words and pairs of words, which is hard to beat on documents
whose vocabulary tells their class.
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from keras_performer.extras import pip_line
from keras_performer.models.problems import mean_log_probabilities
from keras_performer.text import Documents

# Words, identifiers and numbers, and each mark: for prose and program code alike.
_TOKEN = r"\w+|[^\w\s]"
_MAX_FEATURES = 200_000
# Less regularization than the usual 1: better by window and by document on program
# code (8 classes) and on unseen novels (20 authors).
_INVERSE_REGULARIZATION = 100.0
MAX_BYTES = 32_000_000
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
        num_train_windows: Number of windows that the baselines were trained on.
        num_test_documents: Number of documents that they were tested on.
    """

    majority_window: float
    majority_document: float
    tfidf_window: float
    tfidf_document: float
    num_train_windows: int
    num_test_documents: int


def evaluate_baselines(
    train: Documents,
    test: Documents,
    window_bytes: int,
    max_bytes: int = MAX_BYTES,
) -> Baselines:
    """Trains the baselines on windows of documents, and tests them.

    A classifier that reads windows of a length is compared fairly with one that reads
    the same: documents are cut into windows of `window_bytes` bytes. A document is
    judged as the model judges it, by the mean of its windows' log probabilities.

    The features are the 200,000 most frequent words, marks and pairs of them, weighted
    `(1 + log(count)) * idf`, rows of length one. The classifier is multinomial
    logistic regression.

    Documents are read one at a time. Of more than `max_bytes` bytes, a sample is
    measured: every n-th window of the training documents, with the first of each
    document's, and every n-th of the test documents.

    Args:
        train: `Documents` to train on.
        test: `Documents` to test on, with the same labels.
        window_bytes: Largest length of a window, in bytes of UTF-8.
        max_bytes: Largest number of bytes to train on, and to test on. 32 MB take about
            a minute and 300 MB of memory; 60 MB of which 24 are a sample to train on
            took 840 MB where hardly a pair of words came twice.

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
    for name, size in (("window_bytes", window_bytes), ("max_bytes", max_bytes)):
        if size < _MAX_CHARACTER:
            raise ValueError(
                f"{name}={size!r} was passed. Expected at least {_MAX_CHARACTER}, the "
                "most bytes of a character."
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
    predict, owners = fit_tfidf(train, window_bytes, max_bytes)
    majority_window = _majority(train, owners)

    every = -(-count_bytes(test) // max_bytes)
    sample = range(0, len(test), every)
    truth = np.array(test.label_ids)
    by_document: list[np.ndarray] = []
    num_windows = num_right = num_majority = 0
    for index in sample:
        windows = read_windows(test, index, window_bytes)
        probabilities = predict(windows)
        all_of_one: np.ndarray = np.zeros(len(windows), int)
        by_document += [*mean_log_probabilities(probabilities, all_of_one, 1)]
        num_windows += len(windows)
        num_right += int(np.sum(probabilities.argmax(-1) == truth[index]))
        num_majority += len(windows) * int(truth[index] == majority_window)
    return Baselines(
        majority_window=num_majority / num_windows,
        majority_document=_share(_majority(train, np.arange(len(train))), truth),
        tfidf_window=num_right / num_windows,
        tfidf_document=_share(np.argmax(by_document, -1), truth[list(sample)]),
        num_train_windows=len(owners),
        num_test_documents=len(sample),
    )


def fit_tfidf(
    train: Documents, window_bytes: int, max_bytes: int = MAX_BYTES
) -> tuple[Callable[[list[str]], np.ndarray], list[int]]:
    """Trains logistic regression on TF-IDF features, as `evaluate_baselines` says.

    Args:
        train: `Documents` to train on.
        window_bytes: Largest length of a window, in bytes of UTF-8.
        max_bytes: Largest number of bytes to train on.

    Returns:
        A function from windows to their probabilities, (windows, classes), and the
        index of the document of each window that it was trained on.

    Raises:
        ImportError: If scikit-learn is not installed.
    """
    vectorizer, classifier = estimators()
    features, owners = tfidf_features(vectorizer, train, window_bytes, max_bytes)
    classifier.fit(features, np.take(train.label_ids, owners))

    def predict(windows: list[str]) -> np.ndarray:
        probabilities = np.zeros((len(windows), len(train.labels)))
        probabilities[:, classifier.classes_] = classifier.predict_proba(
            vectorizer.transform(windows)
        )
        return probabilities

    return predict, owners


def tfidf_features(
    vectorizer: Any, train: Documents, window_bytes: int, max_bytes: int
) -> tuple[Any, list[int]]:
    """Fits a vectorizer to windows of documents.

    Args:
        vectorizer: The first of `estimators()`.
        train: `Documents` to train on.
        window_bytes: Largest length of a window, in bytes of UTF-8.
        max_bytes: Largest number of bytes to train on; of more, a sample is taken.

    Returns:
        A sparse matrix (windows, features), and the index of each window's document.
    """
    owners: list[int] = []
    every = -(-count_bytes(train) // max_bytes)
    windows = _windows(train, window_bytes, every, owners.append)
    return vectorizer.fit_transform(windows), owners


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


def count_bytes(documents: Documents) -> int:
    """Returns the number of bytes of documents, 1 at least."""
    return max(1, sum(map(documents.size, range(len(documents)))))


def read_windows(documents: Documents, index: int, window_bytes: int) -> list[str]:
    """Reads a document, cut into windows as `utf8_windows` does.

    Args:
        documents: `Documents`.
        index: Which of them.
        window_bytes: Largest length of a window, in bytes of UTF-8.

    Returns:
        List of strings.
    """
    windows = utf8_windows(documents.read(index), window_bytes)
    return [window.decode("utf-8") for window in windows]


def _windows(
    documents: Documents, window_bytes: int, every: int, note: Callable[[int], None]
) -> Iterator[str]:
    """Every n-th window, with the first of a document; notes the document of each."""
    count = 0
    for owner in range(len(documents)):
        for index, window in enumerate(read_windows(documents, owner, window_bytes)):
            if index == 0 or count % every == 0:
                note(owner)
                yield window
            count += 1


def _majority(documents: Documents, owners: npt.ArrayLike) -> np.intp:
    """The most frequent class, where each document counts once for each owned thing."""
    return np.bincount(np.take(documents.label_ids, owners)).argmax()


def _share(predicted: Any, truth: np.ndarray) -> float:
    return float(np.mean(predicted == truth))


def estimators() -> tuple[Any, Any]:
    """Returns the vectorizer of TF-IDF features, and a logistic regression."""
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
