"""From files to batches of ids: tokenizers, documents, proteins, packing, tf.data."""

from keras_performer.text.amino_acid_tokenizer import AminoAcidTokenizer
from keras_performer.text.batches import evaluation_batches, training_batches
from keras_performer.text.byte_tokenizer import ByteTokenizer
from keras_performer.text.documents import (
    Documents,
    find_documents,
    find_train_test,
    hold_out,
)
from keras_performer.text.fasta import FastaRecord, read_fasta
from keras_performer.text.packed_next_tokens import PackedNextTokens
from keras_performer.text.packed_sequences import PackedSequences
from keras_performer.text.source_batches import ordered_batches, shuffled_batches
from keras_performer.text.token_arrays import tokenize_documents, tokenize_texts
from keras_performer.text.token_masking import TokenMasking
from keras_performer.text.token_windows import TokenWindows
from keras_performer.text.tokenizer import PAD, Tokenizer
from keras_performer.text.vocabulary import (
    learn_vocabulary,
    load_vocabulary,
    save_vocabulary,
)
from keras_performer.text.word_piece_tokenizer import WordPieceTokenizer

__all__ = [
    "PAD",
    "AminoAcidTokenizer",
    "ByteTokenizer",
    "Documents",
    "FastaRecord",
    "PackedNextTokens",
    "PackedSequences",
    "TokenMasking",
    "TokenWindows",
    "Tokenizer",
    "WordPieceTokenizer",
    "evaluation_batches",
    "find_documents",
    "find_train_test",
    "hold_out",
    "learn_vocabulary",
    "load_vocabulary",
    "ordered_batches",
    "read_fasta",
    "save_vocabulary",
    "shuffled_batches",
    "tokenize_documents",
    "tokenize_texts",
    "training_batches",
]
