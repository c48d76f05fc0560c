"""Accuracy of a classifier by window, by document, and of documents read whole."""

import dataclasses
from typing import Any

import numpy as np

from keras_performer.text import DocumentBatches, Documents, Tokenizer, tokenize_each

WHOLE = 2**30


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Accuracies on documents that training did not see.

    Attributes:
        windows: Share of right windows, of the length that training saw.
        documents: Share of right documents, by the mean of their windows'
            log probabilities.
        whole: Share of right documents, each read in one piece.
        num_windows: Number of windows.
        num_documents: Number of documents.
    """

    windows: float
    documents: float
    whole: float
    num_windows: int
    num_documents: int


def evaluate_classifier(
    model: Any,
    tokenizer: Tokenizer,
    documents: Documents,
    context_length: int,
    tokens_per_batch: int,
) -> Evaluation:
    """Measures a classifier by window, by document, and on whole documents.

    Args:
        model: A model from token ids (B, T) to probabilities (B, classes).
        tokenizer: The tokenizer of its training.
        documents: The `Documents` to measure it on.
        context_length: Length of the windows, in tokens.
        tokens_per_batch: Tokens of a batch; a longer document is a batch of its own.

    Returns:
        An `Evaluation`.
    """
    token_arrays = tokenize_each(documents, tokenizer)

    def predict(longest: int) -> tuple[np.ndarray, ...]:
        batches = DocumentBatches(
            token_arrays, documents.label_ids, longest, tokens_per_batch
        )
        parts = [
            (np.asarray(model.predict_on_batch(ids)), labels, owners)
            for ids, labels, owners in batches.dataset().as_numpy_iterator()
        ]
        return tuple(np.concatenate(arrays) for arrays in zip(*parts, strict=True))

    probabilities, labels, owners = predict(context_length)
    by_document = mean_log_probabilities(probabilities, owners, len(documents))
    whole, _, whole_owners = predict(WHOLE)
    truth = np.asarray(documents.label_ids)
    return Evaluation(
        windows=float(np.mean(probabilities.argmax(-1) == labels)),
        documents=float(np.mean(by_document.argmax(-1) == truth)),
        whole=float(np.mean(whole.argmax(-1) == truth[whole_owners])),
        num_windows=len(labels),
        num_documents=len(documents),
    )


def mean_log_probabilities(
    probabilities: np.ndarray, owners: np.ndarray, number: int
) -> np.ndarray:
    """Averages log probabilities of windows by the document they belong to.

    Args:
        probabilities: Array of shape (windows, classes).
        owners: Index of each window's document, of shape (windows,).
        number: Number of documents.

    Returns:
        Array of shape (documents, classes).

    Example:

    >>> import numpy as np
    >>> p = np.array([[0.5, 0.5], [0.9, 0.1], [0.2, 0.8]])
    >>> mean_log_probabilities(p, np.array([0, 0, 1]), 2).argmax(-1).tolist()
    [0, 1]
    """
    logs = np.log(np.maximum(probabilities, 1e-30))
    sums = np.zeros((number, logs.shape[1]))
    np.add.at(sums, owners, logs)
    counts = np.bincount(owners, minlength=number)
    return sums / np.maximum(counts, 1)[:, None]
