"""Word-piece vocabularies: learnt from a corpus, kept as a text file."""

import collections
import numbers
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_performer.extras import pip_line
from keras_performer.text.tokenizer import string_batch

PAD_TOKEN = "[PAD]"
UNKNOWN_TOKEN = "[UNK]"

# Bound the cost of the learner, which looks at each prefix of each part of each
# distinct word: it is cubic in the word's length. Rarer words are spelt with the pieces
# of more frequent ones. The cube of a word's length is about 2,000 on average in prose
# and program code, and 47,000 of names with 20 to 50 letters.
_DISTINCT_WORDS = 10_000
_CUBED_LENGTH = 1_500
# Longer ones, of scripts without spaces or DNA, are learnt from in parts.
_WORD_LENGTH = 50
_PART_LENGTH = 8
_OR_BYTES = (
    ", or bytes, which need no vocabulary: `keras-performer train --tokenizer bytes`, "
    "`ByteTokenizer`."
)


def learn_vocabulary(
    texts: Any,
    vocabulary_size: int,
    lowercase: bool = False,
    max_bytes: int = 8_000_000,
) -> list[str]:
    """Learns a word-piece vocabulary from a corpus.

    Uses the learner of tensorflow-text, which is pure Python and slow; so it sees no
    more than `max_bytes` of text, and of these the 10,000 most frequent words (or half
    as many again as `vocabulary_size`, if that is more; fewer where they are long, as
    in minified code). What has no spaces is learnt too: Chinese characters are words of
    their own, and words of more than 50 letters are cut into parts of 8. The sample is
    the same in each run: from the middle of each document the same number of bytes, and
    short documents whole. So a long document has no more say than another, and title
    pages and licence headers, which stand at the ends, have little. With the default it
    takes about 10 seconds on one core.

    Args:
        texts: Texts to learn from: a `tf.data.Dataset` of scalar strings, such as
            `documents.dataset().map(lambda text, label: text)`, or a list of
            strings. It is read twice.
        vocabulary_size: Largest number of tokens, `"[PAD]"` and `"[UNK]"` counted. A
            small corpus gives fewer, since a piece must occur at least twice.
        lowercase: Must be the `lowercase` of the `WordPieceTokenizer` that will use
            the vocabulary.
        max_bytes: Largest number of bytes of text to learn from.

    Returns:
        List of tokens: `"[PAD]"`, `"[UNK]"`, the single characters, then the pieces
        from frequent to rare.

    Raises:
        ImportError: If tensorflow-text is not installed.
        ValueError: If an argument is not as described, if `texts` has no word, or if
            the vocabulary is too small to spell one.

    Example:

    >>> from keras_performer.text import learn_vocabulary
    >>> vocabulary = learn_vocabulary(["so long, so long, so far"], 40)
    >>> vocabulary[:4]
    ['[PAD]', '[UNK]', ',', 'a']
    >>> "long" in vocabulary
    True
    """
    for name, value in (
        ("vocabulary_size", vocabulary_size),
        ("max_bytes", max_bytes),
    ):
        if not isinstance(value, numbers.Integral) or value < 16:
            raise ValueError(f"{name}={value!r} was passed. Expected at least 16.")
    texts = _string_dataset(texts)
    stripe = _stripe_length(_byte_lengths(texts), max_bytes)
    counts = _count_words(texts.map(lambda text: _middle(text, stripe)), lowercase)
    if not counts:
        raise ValueError(
            "texts has no word to learn a vocabulary from. Expected documents with "
            f"text in them{_OR_BYTES}"
        )
    vocabulary = _learn_at_most(
        _most_frequent(counts, max(_DISTINCT_WORDS, vocabulary_size * 3 // 2)),
        vocabulary_size,
    )
    if set(vocabulary) <= {PAD_TOKEN, UNKNOWN_TOKEN}:
        raise ValueError(
            f"No vocabulary of vocabulary_size={vocabulary_size} can spell a word of "
            f"texts. Expected a larger one{_OR_BYTES}"
        )
    return vocabulary


def save_vocabulary(vocabulary: Sequence[str], path: str | os.PathLike[str]) -> None:
    """Writes a vocabulary as a text file, one token a line, in the order of ids.

    Args:
        vocabulary: List of tokens.
        path: File to write. It is replaced as a whole: a reader never sees half.

    Raises:
        ValueError: If `vocabulary` is not one that `WordPieceTokenizer` takes.
    """
    text = "".join(f"{token}\n" for token in check_vocabulary(vocabulary))
    path = pathlib.Path(path)
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(text.encode("utf-8"))
    partial.replace(path)


def load_vocabulary(path: str | os.PathLike[str]) -> list[str]:
    """Reads a vocabulary from a text file of one token a line.

    Args:
        path: File that `save_vocabulary` wrote, or any `vocab.txt` of the same form
            whose first line is `[PAD]`.

    Returns:
        List of tokens.

    Raises:
        ValueError: If the file is not UTF-8, or does not hold such a vocabulary.
    """
    try:
        text = pathlib.Path(path).read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"The vocabulary file {path} is not UTF-8: {error}. Expected one token a "
            "line, in UTF-8."
        ) from error
    # Not str.splitlines, which also cuts at characters that a token may hold.
    tokens = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
    try:
        return list(check_vocabulary(tokens))
    except ValueError as error:
        raise ValueError(f"The vocabulary file {path}: {error}") from error


def check_vocabulary(vocabulary: Sequence[str]) -> tuple[str, ...]:
    """Checks that a list of tokens can serve as a vocabulary.

    Args:
        vocabulary: List of tokens.

    Returns:
        Tuple of the same tokens.

    Raises:
        ValueError: If a token is no string, is empty, has whitespace in it or occurs
            twice, if the first is not `"[PAD]"`, or if `"[UNK]"` is missing.
    """
    if not isinstance(vocabulary, (list, tuple)):
        raise ValueError(
            f"vocabulary={vocabulary!r} was passed. Expected a list of tokens; read a "
            "file of tokens with load_vocabulary(path)."
        )
    for token_id, token in enumerate(vocabulary):
        if not isinstance(token, str) or not token or any(map(str.isspace, token)):
            raise ValueError(
                f"Token {token_id} of the vocabulary is {token!r}. Expected a string "
                "that is not empty and has no whitespace in it."
            )
    if PAD_TOKEN not in vocabulary[:1] or UNKNOWN_TOKEN not in vocabulary:
        raise ValueError(
            f"The vocabulary starts with {list(vocabulary[:3])!r}. Expected "
            f"{PAD_TOKEN!r} first, since id 0 pads, and {UNKNOWN_TOKEN!r} among the "
            "others."
        )
    repeated = [t for t, n in collections.Counter(vocabulary).items() if n > 1]
    if repeated:
        raise ValueError(
            f"The vocabulary has {repeated[:5]!r} more than once. Expected each token "
            "once, since its place is its id."
        )
    return tuple(vocabulary)


def import_tensorflow_text() -> Any:
    """Imports tensorflow-text, which is an optional package.

    Returns:
        The module `tensorflow_text`.

    Raises:
        ImportError: If it is not installed; names the command that installs it.
    """
    try:
        import tensorflow_text
    except ImportError as error:
        raise ImportError(
            "Word pieces need tensorflow-text, of the same minor version as "
            f"TensorFlow: {pip_line('text')}"
        ) from error
    return tensorflow_text


def _string_dataset(texts: Any) -> tf.data.Dataset:
    if not isinstance(texts, tf.data.Dataset):
        texts = tf.data.Dataset.from_tensor_slices(string_batch(texts))
    if texts.element_spec != tf.TensorSpec([], tf.string):
        raise ValueError(
            f"texts has elements {texts.element_spec}. Expected scalar strings: of "
            "(text, label) pairs take `dataset.map(lambda text, label: text)`."
        )
    return texts


def _byte_lengths(texts: tf.data.Dataset) -> np.ndarray:
    lengths = texts.map(lambda text: tf.strings.length(text, unit="BYTE"))
    return np.fromiter(lengths.as_numpy_iterator(), np.int64)


def _stripe_length(lengths: np.ndarray, max_bytes: int) -> int:
    """The largest n with sum(min(length, n)) <= max_bytes."""
    left = max_bytes
    for rank, length in enumerate(np.sort(lengths)):
        sharing = len(lengths) - rank
        if length * sharing > left:
            return int(left // sharing)
        left -= length
    return max_bytes


def _middle(text: Any, length: int) -> Any:
    start = tf.maximum(tf.strings.length(text, unit="BYTE") - length, 0) // 2
    stripe = tf.strings.substr(text, start, length, unit="BYTE")
    # The cuts may have hit the middle of a character.
    return tf.strings.unicode_transcode(stripe, "UTF-8", "UTF-8", errors="ignore")


def _count_words(texts: tf.data.Dataset, lowercase: bool) -> dict[str, int]:
    """Counts the words into which `WordPieceTokenizer` splits the texts."""
    normalizer_class = import_tensorflow_text().FastBertNormalizer
    from tensorflow_text.python.ops.bert_tokenizer import BasicTokenizer

    with tf.device("CPU:0"):
        normalizer = normalizer_class(lower_case_nfd_strip_accents=lowercase)
    splitter = BasicTokenizer()
    counts: collections.Counter[bytes] = collections.Counter()
    for words in texts.map(
        lambda text: splitter.tokenize(normalizer.normalize([text])).flat_values
    ).as_numpy_iterator():
        counts.update(words.tolist())
    parts: collections.Counter[str] = collections.Counter()
    for encoded, count in counts.items():
        # Unlike the splitter, the tokenizer splits at no-break and wide spaces too.
        for word in encoded.decode("utf-8").split():
            length = len(word) if len(word) <= _WORD_LENGTH else _PART_LENGTH
            for start in range(0, len(word), length):
                parts[word[start : start + length]] += count
    return parts


def _most_frequent(counts: dict[str, int], number: int) -> list[tuple[str, int]]:
    """The most frequent words: so many, and not longer than words are on average."""
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:number]
    costs = np.cumsum([len(word) ** 3 for word, _ in ranked])
    return ranked[: max(1, int(np.searchsorted(costs, _CUBED_LENGTH * number)))]


def _learn_at_most(
    word_counts: list[tuple[str, int]], vocabulary_size: int
) -> list[str]:
    """Learns with the lowest frequency threshold whose vocabulary is small enough.

    The learner's own search starts at half the count of the most frequent word, where
    a step takes longest, and may end above the size asked for. This one starts where
    the characters and the words that occur often enough fill the vocabulary: with a
    lower threshold they would be too many.
    """
    import_tensorflow_text()
    from tensorflow_text.tools.wordpiece_vocab import (
        wordpiece_tokenizer_learner_lib as learner,
    )

    params = learner.Params(
        upper_thresh=None,
        lower_thresh=None,
        num_iterations=4,
        max_input_tokens=-1,
        max_token_length=_WORD_LENGTH,
        # A character is two tokens, `a` and `##a`; half of the vocabulary is for more.
        max_unique_chars=vocabulary_size // 4 - 1,
        vocab_size=vocabulary_size,
        slack_ratio=0.05,
        include_joiner_token=True,
        joiner="##",
        reserved_tokens=[PAD_TOKEN, UNKNOWN_TOKEN],
    )
    words = learner.get_input_words(
        word_counts, params.reserved_tokens, params.max_token_length
    )
    characters = learner.get_allowed_chars(words, params.max_unique_chars)
    words = learner.filter_input_words(words, characters, params.max_input_tokens)

    counts = [count for word, count in words if len(word) > 1]
    rank = min(vocabulary_size - 2 * len(characters), len(counts))
    too_low, threshold = 1, max([2, *counts[rank - 1 : rank]])
    vocabulary = learner.learn_with_thresh(words, threshold, params)
    while len(vocabulary) > vocabulary_size:
        too_low, threshold = threshold, threshold + max(1, threshold // 2)
        vocabulary = learner.learn_with_thresh(words, threshold, params)
    enough = (1 - params.slack_ratio) * vocabulary_size
    while len(vocabulary) < enough and threshold - too_low > 1:
        middle = (too_low + threshold) // 2
        candidate = learner.learn_with_thresh(words, middle, params)
        if len(candidate) > vocabulary_size:
            too_low = middle
        else:
            threshold, vocabulary = middle, candidate
    return vocabulary
