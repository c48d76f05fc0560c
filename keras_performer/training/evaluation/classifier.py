"""What a classifier answers by window, by document and of documents read whole."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from keras_performer.models import PerformerTextClassifier
from keras_performer.models.problems import get_problem
from keras_performer.text import (
    DocumentBatches,
    Documents,
    TokenArrays,
    Tokenizer,
    tokenize_each,
    tokenize_texts,
)

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


@dataclasses.dataclass(frozen=True, eq=False)
class ClassifierPredictions:
    """Probabilities that a classifier gives to documents, in three ways.

    Of several labels they are those of each label; of a number they are numbers.

    Attributes:
        windows: Of each window alone, of shape (windows, classes).
        owners: Index of each window's document, of shape (windows,).
        documents: Of each document by the mean of its windows' log probabilities, of
            shape (documents, classes); rows add up to 1. Of several labels by the mean
            of log-odds, of a number by the mean.
        whole: Of each document read in one piece, of shape (documents, classes).
    """

    windows: np.ndarray
    owners: np.ndarray
    documents: np.ndarray
    whole: np.ndarray

    def accuracy(self, label_ids: npt.ArrayLike) -> Evaluation:
        """Returns the `Evaluation` of these answers.

        Args:
            label_ids: True class of each document, integers of shape (documents,).
        """
        truth = np.asarray(label_ids)
        return Evaluation(
            windows=float(np.mean(self.windows.argmax(-1) == truth[self.owners])),
            documents=float(np.mean(self.documents.argmax(-1) == truth)),
            whole=float(np.mean(self.whole.argmax(-1) == truth)),
            num_windows=len(self.owners),
            num_documents=len(truth),
        )

    def measures(
        self, problem: str, targets: np.ndarray
    ) -> dict[str, dict[str, float]]:
        """Returns how good these answers are, by the measures of a problem.

        Args:
            problem: Its name.
            targets: `Documents.targets`.

        Returns:
            Dictionary of `"windows"`, `"documents"` and `"whole"`: of each a dictionary
            such as `{"micro_f1": 0.9, "macro_f1": 0.8, "exact_match": 0.7}`, or of
            `"r2"`, `"rmse"` and `"mae"`.
        """
        measure = get_problem(problem).measures
        return {
            "windows": measure(self.windows, targets[self.owners]),
            "documents": measure(self.documents, targets),
            "whole": measure(self.whole, targets),
        }

    def gain_over(
        self, other: "ClassifierPredictions", label_ids: npt.ArrayLike
    ) -> dict[str, tuple[float, float]]:
        """By how much these answers are right more often than others, in pairs.

        Args:
            other: `ClassifierPredictions` for the same documents and windows.
            label_ids: True class of each document, integers of shape (documents,).

        Returns:
            Dictionary of `"windows"`, `"documents"` and `"whole"`: the difference of
            the accuracies and its standard error. Windows of a document are not
            independent: the error is that between documents.

        Example:

        >>> import numpy as np
        >>> def answers(p):
        ...     p = np.array(p)
        ...     return ClassifierPredictions(p, np.arange(len(p)), p, p)
        >>> right = answers([[0.9, 0.1]] * 4)
        >>> half = answers([[0.9, 0.1], [0.2, 0.8]] * 2)
        >>> right.gain_over(half, [0] * 4)["documents"]
        (0.5, 0.25)
        """
        truth = np.asarray(label_ids)
        gains = {}
        for name in ("windows", "documents", "whole"):
            owners = self.owners if name == "windows" else np.arange(len(truth))
            ours, theirs = (
                getattr(answers, name).argmax(-1) == truth[owners]
                for answers in (self, other)
            )
            differences = ours.astype(float) - theirs
            mean = float(differences.mean())
            rest = np.bincount(owners, differences - mean)
            error = float(np.sqrt(np.square(rest).sum()) / len(owners))
            gains[name] = (mean, error)
        return gains


def predict_classifier(
    model: Any,
    tokenizer: Tokenizer,
    documents: Documents,
    context_length: int,
    tokens_per_batch: int,
) -> ClassifierPredictions:
    """Predicts documents by window, by document, and whole.

    Args:
        model: A model from token ids (B, T) to probabilities (B, classes).
        tokenizer: The tokenizer of its training.
        documents: The `Documents`.
        context_length: Length of the windows, in tokens.
        tokens_per_batch: Tokens of a batch; a longer document is a batch of its own.

    Returns:
        `ClassifierPredictions`.
    """
    [predictions] = _predict_all(
        model, 1, tokenizer, documents, context_length, tokens_per_batch
    )
    return predictions


def predict_experts(
    model: PerformerTextClassifier,
    tokenizer: Tokenizer,
    documents: Documents,
    context_length: int,
    tokens_per_batch: int,
) -> dict[str, ClassifierPredictions]:
    """Predicts documents by a classifier and by each of its experts, in one pass.

    Args:
        model: A `PerformerTextClassifier`.
        tokenizer: The tokenizer of its training.
        documents: The `Documents`.
        context_length: Length of the windows, in tokens.
        tokens_per_batch: Tokens of a batch; a longer document is a batch of its own.

    Returns:
        Dictionary of `ClassifierPredictions`: `"performer"`, the model's own, and,
        where it has n-grams, `"ngrams"` and `"encoder"`.
    """
    models: dict[str, Any] = {"performer": model}
    if model.ngrams is not None:
        models["ngrams"] = model.ngram_classifier
        models["encoder"] = model.encoder_classifier
    predictions = _predict_all(
        side_by_side(list(models.values())),
        len(models),
        tokenizer,
        documents,
        context_length,
        tokens_per_batch,
    )
    return dict(zip(models, predictions, strict=True))


def side_by_side(models: Sequence[Any]) -> keras.Model:
    """A model that computes several of the same input, and what they share once.

    Args:
        models: n models from token ids (B, T) to (B, F).

    Returns:
        A `keras.Model` from token ids to (B, n * F).
    """
    outputs = [keras.ops.cast(model.output, "float32") for model in models]
    return keras.Model(models[0].input, keras.ops.concatenate(outputs, axis=-1))


def _predict_all(
    model: Any,
    number: int,
    tokenizer: Tokenizer,
    documents: Documents,
    context_length: int,
    tokens_per_batch: int,
) -> list[ClassifierPredictions]:
    """The answers of so many classifiers, whose outputs stand side by side."""
    problem = get_problem(documents.problem)
    arrays = tokenize_each(documents, tokenizer)
    windows, owners = predict_windows(model, arrays, context_length, tokens_per_batch)
    whole, whole_owners = predict_windows(model, arrays, WHOLE, tokens_per_batch)
    whole = whole[np.argsort(whole_owners)]
    found = []
    for of_windows, of_whole in zip(
        np.split(windows, number, axis=-1),
        np.split(whole, number, axis=-1),
        strict=True,
    ):
        by_document = problem.join_windows(of_windows, owners, len(documents))
        found.append(ClassifierPredictions(of_windows, owners, by_document, of_whole))
    return found


def predict_texts(
    model: Any,
    tokenizer: Tokenizer,
    texts: Sequence[str | bytes],
    tokens_per_batch: int,
) -> np.ndarray:
    """Predicts texts, each read whole, in batches of texts of about the same length.

    Args:
        model: A model from token ids (B, T) to an array (B, F), such as a classifier or
            its `embedder`.
        tokenizer: The tokenizer of its training.
        texts: Strings.
        tokens_per_batch: Tokens of a batch; a longer text is a batch of its own.

    Returns:
        Array of shape (texts, F).

    Example:

    >>> import keras
    >>> from keras_performer.text import ByteTokenizer
    >>> inputs = keras.Input((None,), dtype="int32")
    >>> not_padding = keras.ops.cast(inputs != 0, "float32")
    >>> length = keras.ops.sum(not_padding, axis=1, keepdims=True)
    >>> model = keras.Model(inputs, length)
    >>> texts = ["three", "a", "", "four"]
    >>> predict_texts(model, ByteTokenizer(), texts, tokens_per_batch=8).tolist()
    [[5.0], [1.0], [0.0], [4.0]]
    """
    rows = tokenize_texts(texts, tokenizer)
    arrays = TokenArrays(np.concatenate(rows), [len(row) for row in rows])
    outputs, owners = predict_windows(model, arrays, WHOLE, tokens_per_batch)
    return outputs[np.argsort(owners)]


def predict_windows(
    model: Any, arrays: TokenArrays, longest: int, tokens_per_batch: int
) -> tuple[np.ndarray, np.ndarray]:
    """What a model gives for each window, and the index of its text.

    Args:
        model: A model from token ids (B, T) to an array (B, F).
        arrays: The `TokenArrays` of the texts.
        longest: Length of the longest window, in tokens.
        tokens_per_batch: Tokens of a batch; a longer window is a batch of its own.

    Returns:
        Arrays of shape (windows, F) and (windows,).
    """
    batches = DocumentBatches(arrays, [0] * len(arrays), longest, tokens_per_batch)
    parts = [
        (np.asarray(model.predict_on_batch(ids)), owners)
        for ids, _, owners in batches.dataset().as_numpy_iterator()
    ]
    outputs, owners = (np.concatenate(part) for part in zip(*parts, strict=True))
    return outputs, owners


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
    predictions = predict_classifier(
        model, tokenizer, documents, context_length, tokens_per_batch
    )
    return predictions.accuracy(documents.label_ids)


def worst_errors(
    probabilities: npt.ArrayLike,
    label_ids: npt.ArrayLike,
    number: int = 10,
    problem: str = "single_label",
) -> list[int]:
    """Finds the wrong answers that gave the true class the least.

    Of several labels those whose wrong ones have the largest cross-entropy, and of
    numbers those of the largest error.

    Args:
        probabilities: Probabilities of shape (documents, classes), or numbers.
        label_ids: True class of each document, integers of shape (documents,); or
            `Documents.targets`.
        number: Largest number of errors.
        problem: Whether it is one label, several, or a number.

    Returns:
        Indices of documents, the worst error first.

    Example:

    >>> p = [[0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.2, 0.8]]
    >>> worst_errors(p, [0, 1, 0, 0])
    [3, 2, 1]
    """
    losses = get_problem(problem).losses(
        np.asarray(probabilities), np.asarray(label_ids)
    )
    wrong = np.flatnonzero(losses > 0)
    order = np.argsort(-losses[wrong], kind="stable")
    return wrong[order][:number].tolist()
