"""From files to batches of ids: tokenizers, documents, proteins, packing, tf.data."""

from keras_performer.renamed import renamed_attributes
from keras_performer.text.amino_acid_tokenizer import AminoAcidTokenizer
from keras_performer.text.byte_tokenizer import ByteTokenizer
from keras_performer.text.document_batches import (
    DocumentBatches,
    evaluation_batches,
    training_batches,
)
from keras_performer.text.documents import (
    Documents,
    find_documents,
    find_train_test,
    train_test_split,
)
from keras_performer.text.fasta import FastaRecord, read_fasta
from keras_performer.text.packed_next_tokens import PackedNextTokens
from keras_performer.text.packed_sequences import PackedSequences
from keras_performer.text.step_batches import (
    SourceBatches,
    StepBatches,
    ordered_batches,
    shuffled_batches,
)
from keras_performer.text.token_arrays import (
    TokenArrays,
    tokenize_documents,
    tokenize_each,
    tokenize_texts,
)
from keras_performer.text.token_dropout import TokenDropout
from keras_performer.text.token_masking import TokenMasking
from keras_performer.text.token_windows import TokenWindows
from keras_performer.text.tokenizer import PAD, Tokenizer, TokenKind
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
    "DocumentBatches",
    "Documents",
    "FastaRecord",
    "PackedNextTokens",
    "PackedSequences",
    "SourceBatches",
    "StepBatches",
    "TokenArrays",
    "TokenDropout",
    "TokenKind",
    "TokenMasking",
    "TokenWindows",
    "Tokenizer",
    "WordPieceTokenizer",
    "evaluation_batches",
    "find_documents",
    "find_train_test",
    "learn_vocabulary",
    "load_vocabulary",
    "ordered_batches",
    "read_fasta",
    "save_vocabulary",
    "shuffled_batches",
    "tokenize_documents",
    "tokenize_each",
    "tokenize_texts",
    "train_test_split",
    "training_batches",
]

__getattr__ = renamed_attributes(__name__, globals(), {"hold_out": "train_test_split"})


def __dir__() -> list[str]:
    return sorted(__all__)
