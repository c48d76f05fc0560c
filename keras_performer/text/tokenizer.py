"""The tokenizer contract: a Keras layer that turns strings into padded ids."""

import abc
import enum
import numbers
from typing import Any

import keras
import tensorflow as tf

PAD = 0  # the id that pads; no tokenizer gives it to text


class TokenKind(enum.IntEnum):
    """What a token is to the words of a text.

    Attributes:
        BLANK: It is part of no word and parts those beside it, as a space does.
        WORD: It begins a word.
        CONTINUATION: It belongs to the word of the token before, as `"##ing"` does.
        LETTER: It belongs to the word of the token before if that is a letter too.
    """

    BLANK = 0
    WORD = 1
    CONTINUATION = 2
    LETTER = 3


class Tokenizer(keras.layers.Layer, abc.ABC):
    """Turns a batch of strings into a batch of ids, inside the graph.

    Because the work is done by TensorFlow operations, an exported model takes
    raw text: a client needs no tokenizer of its own, and training and serving
    cannot disagree about the ids. A subclass gives `tokenize` and
    `vocabulary_size`.

    Args:
        sequence_length: Longest sequence that is kept, in ids; what follows is
            cut off. `None` means no limit.
        **kwargs: `name` and the other arguments of `keras.layers.Layer`.

    Call arguments:
        texts: Strings of shape `(B,)`: a tensor, an array or a list.

    Output shape:
        `(B, T)`, int32. T is the longest sequence of the batch and at least 1;
        shorter sequences are padded on the right with `PAD = 0`.

    Raises:
        ValueError: If `sequence_length` is not a positive integer or `None`, or
            if `texts` is not one string a document.
    """

    def __init__(self, sequence_length: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if sequence_length is not None and (
            not isinstance(sequence_length, numbers.Integral)
            or isinstance(sequence_length, bool)
            or sequence_length < 1
        ):
            raise ValueError(
                f"sequence_length={sequence_length!r} was passed. Expected a positive "
                "integer, or None to keep whole documents."
            )
        self.sequence_length = None if sequence_length is None else int(sequence_length)
        # As Keras' own text layers: strings have no array of the backend's, and
        # XLA has no strings.
        self._convert_input_args = False
        self._allow_non_tensor_positional_args = True
        self.supports_jit = False
        self.built = True  # there is no weight to make

    @property
    @abc.abstractmethod
    def vocabulary_size(self) -> int:
        """Number of ids: each id is below it, and id 0 is padding."""

    @property
    def token_kinds(self) -> list[TokenKind]:
        """What each id is to the words of a text, as `HashedNgrams` takes it.

        By default each token but the padding is a word.
        """
        return [TokenKind.BLANK] + [TokenKind.WORD] * (self.vocabulary_size - 1)

    @abc.abstractmethod
    def tokenize(self, texts: Any) -> Any:
        """Gives the ids of each text without padding.

        Args:
            texts: Strings of shape `(B,)`: a tensor, an array or a list.

        Returns:
            `tf.RaggedTensor` of shape `(B, None)`, int32.
        """

    def call(self, texts: Any) -> Any:
        sequences = self.tokenize(texts)
        longest = tf.maximum(sequences.bounding_shape(axis=1), 1)
        return sequences.to_tensor(default_value=PAD, shape=tf.stack([-1, longest]))

    def compute_output_shape(
        self, input_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        return (*input_shape, None)

    def compute_output_spec(self, texts: Any) -> keras.KerasTensor:
        return keras.KerasTensor(self.compute_output_shape(texts.shape), dtype="int32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "sequence_length": self.sequence_length}


def string_batch(texts: Any) -> Any:
    """Converts `texts` into a string tensor of shape `(B,)`.

    Args:
        texts: Strings of shape `(B,)`: a tensor, an array or a list.

    Returns:
        String tensor of shape `(B,)`.

    Raises:
        ValueError: If `texts` holds something else than strings, or has another
            rank than 1.

    Example:

    >>> from keras_performer.text.tokenizer import string_batch
    >>> string_batch(["a", "b"]).shape
    TensorShape([2])
    """
    try:
        texts = tf.convert_to_tensor(texts, dtype=tf.string)
    except (TypeError, ValueError) as error:
        raise ValueError(
            "texts must be strings of shape (B,), such as ['one text', 'another'], "
            f"but a {type(texts).__name__} was passed that does not convert to a "
            f"string tensor: {error}"
        ) from error
    if texts.shape.rank not in (None, 1):
        raise ValueError(
            f"texts of shape {texts.shape} was passed. Expected shape (B,), one "
            "string a document: pass [text] for a single text, and "
            "tf.reshape(texts, [-1]) for a nested batch."
        )
    return tf.ensure_shape(texts, [None])


def byte_rows(texts: Any, length: int | None = None) -> Any:
    """Cuts texts into their bytes.

    Args:
        texts: Strings of shape `(B,)`: a tensor, an array or a list.
        length: Number of bytes that are kept of each, or `None` for all.

    Returns:
        `tf.RaggedTensor` of shape `(B, None)`, uint8.

    Raises:
        ValueError: If `texts` holds something else than strings, or has another
            rank than 1.

    Example:

    >>> from keras_performer.text.tokenizer import byte_rows
    >>> byte_rows(["ab", "c"]).to_list()
    [[97, 98], [99]]
    """
    texts = string_batch(texts)
    if length is not None:
        texts = tf.strings.substr(texts, 0, length, unit="BYTE")
    # One string decodes to as many bytes as it has: no padding to remove again.
    return tf.RaggedTensor.from_row_lengths(
        tf.io.decode_raw(tf.strings.reduce_join(texts), tf.uint8),
        tf.strings.length(texts, unit="BYTE"),
        validate=False,
    )
