"""Text to ids without a vocabulary: every byte of UTF-8 is an id."""

from typing import Any

import keras
import tensorflow as tf

from keras_performer.text.tokenizer import PAD, Tokenizer, TokenKind, byte_rows


@keras.saving.register_keras_serializable(package="keras_performer")
class ByteTokenizer(Tokenizer):
    """Gives each byte of a text the id `byte + 1`; id 0 is padding.

    It needs no vocabulary, loses nothing and takes any input: text that is not
    valid UTF-8 is bytes too. The price is long sequences, about one id a letter.

    Args:
        sequence_length: Longest sequence that is kept, in bytes; what follows is
            cut off. `None` means no limit.
        **kwargs: `name` and the other arguments of `keras.layers.Layer`.

    Call arguments:
        texts: Strings of shape `(B,)`: a tensor, an array or a list.

    Output shape:
        `(B, T)`, int32, padded on the right with 0; T is the longest of the batch
        and at least 1.

    Raises:
        ValueError: If `sequence_length` is not a positive integer or `None`, or
            if `texts` is not one string a document.

    Example:

    >>> from keras_performer.text import ByteTokenizer
    >>> ByteTokenizer()(["abc", "é"]).numpy().tolist()
    [[98, 99, 100], [196, 170, 0]]
    """

    @property
    def vocabulary_size(self) -> int:
        return 257

    @property
    def token_kinds(self) -> list[TokenKind]:
        """Letters, digits, underscores and bytes beyond ASCII are of words."""
        kinds = super().token_kinds
        for byte in range(256):
            character = bytes([byte])
            if character.isspace():
                kinds[byte + 1] = TokenKind.BLANK
            elif character.isalnum() or character == b"_" or byte >= 128:
                kinds[byte + 1] = TokenKind.LETTER
        return kinds

    def tokenize(self, texts: Any) -> Any:
        rows = byte_rows(texts, self.sequence_length)
        return rows.with_values(tf.cast(rows.values, tf.int32) + (PAD + 1))
