"""`explain_by_occlusion`: which passages of a document spoke for a label."""

import dataclasses
import itertools
import re
from collections.abc import Callable, Sequence

import numpy as np

from keras_performer.layers.validation import check_size
from keras_performer.models.experts import SMALLEST_PROBABILITY

# Where a passage may end, the best places first.
_BREAKS = [re.compile(pattern) for pattern in (r"\n\s*\n", r"\n", r"[.!?]\s+", r"\s+")]
_SLACK = 0.3  # of a passage's length: how far from its even end a break is looked for
_PARTS = 4
_CHARACTERS_AT_ONCE = 2**22  # of the shortened documents in memory


@dataclasses.dataclass(frozen=True)
class Passage:
    """A passage of a document, and what the document is without it.

    Attributes:
        start: Index of its first character in the document.
        end: Index after its last character.
        probability_without: Probability of the label when it is left out.
        change: Log probability of the label with the whole document, minus that when
            the passage is left out: above 0 where it speaks for the label.
    """

    start: int
    end: int
    probability_without: float
    change: float


@dataclasses.dataclass(frozen=True)
class Explanation:
    """What the passages of a document have to do with a label.

    Attributes:
        label_id: Index of the label.
        probability: Its probability with the whole document.
        passages: The `Passage`s in the order of the document, which they cover.
        num_predictions: Number of texts that were predicted.
    """

    label_id: int
    probability: float
    passages: tuple[Passage, ...]
    num_predictions: int


def explain_by_occlusion(
    probabilities: Callable[[Sequence[str]], np.ndarray],
    text: str,
    label_id: int | None = None,
    num_passages: int = 16,
    shortest: int = 200,
    max_predictions: int = 64,
) -> Explanation:
    """Tells which passages of a document spoke for a label, by leaving each out.

    The document is cut into passages, at ends of paragraphs, lines, sentences or words.
    It is predicted without each of them, and the strongest, whose absence costs the
    label the most log probability, is cut into four that are left out in their turn;
    and so on, until passages are short or the predictions are spent. So a passage of a
    long document is found by a few dozen predictions of it.

    This asks of the model what it would answer, and so needs no gradients: those tell
    what an infinitely small change of an embedding does, are near zero where the model
    is sure, take several times the memory of a prediction, and are not in an exported
    model. What it cannot see is evidence that stands in several places, each of which
    is enough by itself: without one of them, little changes.

    Args:
        probabilities: Function from a list of N texts to probabilities (N, classes).
        text: The document.
        label_id: Index of the label to explain; `None` for the likeliest.
        num_passages: Number of passages at first; fewer where they would be shorter
            than `shortest`.
        shortest: Characters that a passage has about at least.
        max_predictions: Largest number of texts to predict: the time that it takes, as
            a multiple of that of one prediction.

    Returns:
        An `Explanation`.

    Raises:
        ValueError: If an argument is out of its range.

    Example:

    >>> def probabilities(texts):
    ...     p = np.array([0.9 if "whale" in text else 0.2 for text in texts])
    ...     return np.stack([p, 1 - p], axis=1)
    >>> text = "It rained. " * 50 + "A whale! " + "It rained. " * 50
    >>> found = explain_by_occlusion(probabilities, text, shortest=20)
    >>> strongest = max(found.passages, key=lambda passage: passage.change)
    >>> text[strongest.start : strongest.end]
    'A whale! It rained. '
    >>> round(strongest.change, 3), round(float(np.log(0.9 / 0.2)), 3)
    (1.504, 1.504)
    """
    for name, size in (("num_passages", num_passages), ("shortest", shortest)):
        check_size(name, size)
    if max_predictions < num_passages + 1:
        raise ValueError(
            "`max_predictions` must be more than `num_passages`: the document is "
            "predicted whole and without each. Received: max_predictions="
            f"{max_predictions}, num_passages={num_passages}"
        )
    [row] = probabilities([text])
    label = int(np.argmax(row)) if label_id is None else label_id
    if not 0 <= label < len(row):
        raise ValueError(
            f"`label_id` must be an index of the {len(row)} classes. Received: "
            f"label_id={label_id!r}"
        )
    whole = _log_probability(row, label)

    def leave_out(spans: list[tuple[int, int]]) -> list[Passage]:
        found = []
        at_once = max(1, _CHARACTERS_AT_ONCE // max(1, len(text)))
        for first in range(0, len(spans), at_once):
            some = spans[first : first + at_once]
            rows = probabilities([text[:start] + text[end:] for start, end in some])
            for (start, end), without in zip(some, rows, strict=True):
                change = whole - _log_probability(without, label)
                found.append(Passage(start, end, float(without[label]), change))
        return found

    number = min(num_passages, max(1, len(text) // shortest))
    passages = leave_out(_split(text, 0, len(text), number))
    num_predictions = 1 + len(passages)
    while True:
        parts = [(p, min(_PARTS, (p.end - p.start) // shortest)) for p in passages]
        long_ones = [(p, count) for p, count in parts if count > 1 and p.change > 0]
        if not long_ones:
            break
        strongest, count = max(long_ones, key=lambda pair: pair[0].change)
        spans = _split(text, strongest.start, strongest.end, count)
        if num_predictions + len(spans) > max_predictions:
            break
        passages.remove(strongest)
        passages += leave_out(spans)
        num_predictions += len(spans)
    passages.sort(key=lambda passage: passage.start)
    return Explanation(label, float(row[label]), tuple(passages), num_predictions)


def _log_probability(row: np.ndarray, label_id: int) -> float:
    """The logarithm, which tells probabilities apart also where all are nearly 1."""
    row = np.asarray(row, "float64")
    if row[label_id] > 0.5:
        return float(np.log1p(-np.delete(row, label_id).sum()))
    return float(np.log(max(row[label_id], SMALLEST_PROBABILITY)))


def _split(text: str, start: int, end: int, number: int) -> list[tuple[int, int]]:
    """Cuts a stretch of text into some passages of about the same length."""
    length = (end - start) / number
    cuts = [start]
    for index in range(1, number):
        target = round(start + index * length)
        low = max(cuts[-1] + 1, round(target - _SLACK * length))
        cuts.append(_nearest_break(text, low, target, round(target + _SLACK * length)))
    return list(itertools.pairwise([*cuts, end]))


def _nearest_break(text: str, low: int, target: int, high: int) -> int:
    for pattern in _BREAKS:
        ends = [found.end() for found in pattern.finditer(text, low, high)]
        if ends:
            return min(ends, key=lambda end: abs(end - target))
    return target
