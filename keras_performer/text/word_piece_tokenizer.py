"""Text to ids of word pieces: whole words where frequent, pieces where rare."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_performer.text.tokenizer import Tokenizer, TokenKind, string_batch
from keras_performer.text.vocabulary import (
    UNKNOWN_TOKEN,
    check_vocabulary,
    import_tensorflow_text,
)

_NO_LIMIT = 2**31 - 1


@keras.saving.register_keras_serializable(package="keras_performer")
class WordPieceTokenizer(Tokenizer):
    """Splits text at whitespace and punctuation, then words into word pieces.

    A sequence is several times shorter than one of bytes. Each word is cut from the
    left into the longest pieces that the vocabulary has (Song et al., 2021, "Fast
    WordPiece Tokenization", https://arxiv.org/abs/2012.15524), however long it is. A
    word that cannot be cut so becomes one `"[UNK]"`, as in BERT: one character that
    the vocabulary lacks loses the whole word, of which `unknown_share` is a measure.
    Punctuation marks and Chinese characters are words of their own.

    Text that is not valid UTF-8 is no error, since a served model cannot refuse one
    row of a request: each invalid sequence is read as U+FFFD, the replacement
    character, so the word it stands in is `"[UNK]"` unless the vocabulary has it.
    Control characters are read as spaces.

    Args:
        vocabulary: List of tokens, a token's place being its id, such as
            `learn_vocabulary` gives. `"[PAD]"` comes first and `"[UNK]"` is one of
            them; a piece that continues a word starts with `"##"`. It is saved with
            the layer, so a saved model needs no other file.
        lowercase: If `True`, letters are lowercased and accents removed before the
            vocabulary is consulted. If `False`, text is taken as it is.
        sequence_length: Longest sequence that is kept, in ids; what follows is
            cut off. `None` means no limit.
        **kwargs: `name` and the other arguments of `keras.layers.Layer`.

    Call arguments:
        texts: Strings of shape `(B,)`: a tensor, an array or a list.

    Output shape:
        `(B, T)`, int32, padded on the right with 0; T is the longest of the batch
        and at least 1.

    Raises:
        ImportError: If tensorflow-text is not installed.
        ValueError: If `vocabulary` is not such a list, if `sequence_length` is not a
            positive integer or `None`, or if `texts` is not one string a document.

    Example:

    >>> from keras_performer.text import WordPieceTokenizer
    >>> tokenizer = WordPieceTokenizer(["[PAD]", "[UNK]", "a", "long", "##er", "."])
    >>> tokenizer(["a longer", "a way."]).numpy().tolist()
    [[2, 3, 4], [2, 1, 5]]
    """

    def __init__(
        self,
        vocabulary: Sequence[str],
        lowercase: bool = False,
        sequence_length: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(sequence_length=sequence_length, **kwargs)
        if not isinstance(lowercase, bool):
            raise ValueError(
                f"lowercase={lowercase!r} was passed. Expected True or False."
            )
        self.vocabulary = check_vocabulary(vocabulary)
        self.lowercase = lowercase
        # The model of the tokenizer is a constant of the graph, and the operations
        # that read it exist for CPUs alone.
        with tf.init_scope(), tf.device("CPU:0"):
            self._tokenizer = import_tensorflow_text().FastBertTokenizer(
                vocab=list(self.vocabulary),
                token_out_type=tf.int32,
                unknown_token=UNKNOWN_TOKEN,
                # A line of DNA, or a sentence of a script without spaces, is one word.
                max_bytes_per_word=_NO_LIMIT,
                lower_case_nfd_strip_accents=lowercase,
            )

    @property
    def vocabulary_size(self) -> int:
        return len(self.vocabulary)

    @property
    def token_kinds(self) -> list[TokenKind]:
        """`CONTINUATION` for what starts with `"##"`, and `WORD` for others."""
        kinds = super().token_kinds
        for token_id, token in enumerate(self.vocabulary):
            if token.startswith("##") and len(token) > 2:
                kinds[token_id] = TokenKind.CONTINUATION
        return kinds

    def unknown_share(self, texts: Any) -> float:
        """Returns the share of the bytes of words that become `"[UNK]"`.

        Args:
            texts: Strings of shape `(B,)`: a tensor, an array or a list.

        Returns:
            A float from 0 to 1; 0 where there is no word.

        Example:

        >>> tokenizer = WordPieceTokenizer(["[PAD]", "[UNK]", "a", "way"])
        >>> tokenizer.unknown_share(["a way", "away"])
        0.5
        """
        ids, starts, ends = self._tokenizer.tokenize_with_offsets(_valid_utf8(texts))
        lengths = (ends - starts).flat_values.numpy()
        is_unknown = ids.flat_values.numpy() == self.vocabulary.index(UNKNOWN_TOKEN)
        return float(lengths[is_unknown].sum() / max(lengths.sum(), 1))

    def tokenize(self, texts: Any) -> Any:
        sequences = self._tokenizer.tokenize(_valid_utf8(texts))
        if self.sequence_length is not None:
            sequences = sequences[:, : self.sequence_length]
        return sequences

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "vocabulary": list(self.vocabulary),
            "lowercase": self.lowercase,
        }


def _valid_utf8(texts: Any) -> Any:
    return tf.strings.unicode_transcode(
        string_batch(texts), "UTF-8", "UTF-8", errors="replace"
    )
