"""Proteins to ids: one letter, one id."""

from typing import Any

import keras
import tensorflow as tf

from keras_performer.text.tokenizer import PAD, Tokenizer, byte_rows

AMINO_ACIDS = "ACDEFGHIKLMNPQRSTVWY"
# Asx, Leu or Ile, pyrrolysine, selenocysteine, any, Glx: the rest of IUPAC's letters.
_LETTERS = AMINO_ACIDS + "BJOUXZ"


@keras.saving.register_keras_serializable(package="keras_performer")
class AminoAcidTokenizer(Tokenizer):
    """Gives each letter of a protein its id; id 0 is padding.

    The 20 amino acids have the ids 1 to 20 in the order of their letters; IUPAC's
    letters for rare and for uncertain ones, B, J, O, U, X and Z, have 21 to 26. Case
    does not matter. Any other byte has the id of X, "any amino acid", since a served
    model cannot refuse one row of a request; `read_fasta` does refuse it.

    The ids of `mask_id`, `start_id` and `end_id` follow. The tokenizer gives them to
    no text: `TokenMasking` writes the first, `tokenize_texts` the others.

    Args:
        sequence_length: Longest sequence that is kept, in letters; what follows is
            cut off. `None` means no limit.
        **kwargs: `name` and the other arguments of `keras.layers.Layer`.

    Call arguments:
        texts: Strings of shape `(B,)`: a tensor, an array or a list.

    Output shape:
        `(B, T)`, int32, padded on the right with 0; T is the longest of the batch
        and at least 1.

    Raises:
        ValueError: If `sequence_length` is not a positive integer or `None`, or
            if `texts` is not one string a protein.

    Example:

    >>> from keras_performer.text import AminoAcidTokenizer
    >>> tokenizer = AminoAcidTokenizer()
    >>> tokenizer(["ACDX", "ac?"]).numpy().tolist()
    [[1, 2, 3, 25], [1, 2, 25, 0]]
    >>> tokenizer.vocabulary_size, tokenizer.mask_id
    (30, 27)
    """

    @property
    def vocabulary_size(self) -> int:
        return self.end_id + 1

    @property
    def mask_id(self) -> int:
        """Id that stands for a masked letter."""
        return PAD + 1 + len(_LETTERS)

    @property
    def start_id(self) -> int:
        """Id for the start of a protein."""
        return self.mask_id + 1

    @property
    def end_id(self) -> int:
        """Id for the end of a protein."""
        return self.mask_id + 2

    def tokenize(self, texts: Any) -> Any:
        rows = byte_rows(texts, self.sequence_length)
        return rows.with_values(tf.gather(_ID_OF_BYTE, tf.cast(rows.values, tf.int32)))


def _id_of_byte() -> list[int]:
    ids = {letter: index for index, letter in enumerate(_LETTERS, PAD + 1)}
    return [ids.get(chr(byte).upper(), ids["X"]) for byte in range(256)]


_ID_OF_BYTE = _id_of_byte()
