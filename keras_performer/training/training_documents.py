"""The documents of a training: held out, tokenized, and what a vocabulary lacks."""

import warnings

import numpy as np

from keras_performer.text import (
    Documents,
    Tokenizer,
    WordPieceTokenizer,
    learn_vocabulary,
    tokenize_each,
    train_test_split,
)
from keras_performer.text.vocabulary import import_tensorflow_text
from keras_performer.training.run_folder import RunFolder
from keras_performer.training.train_encoder import say
from keras_performer.training.training_settings import TrainingSettings

UNKNOWN_SHARE = 0.02  # of the bytes of words; above, a training warns
SAMPLED_DOCUMENTS, SAMPLED_BYTES = 200, 50_000  # to measure that share


class TokenizedDocuments:
    """Documents, and their ids on disk.

    Args:
        documents: `Documents`.
        tokenizer: `Tokenizer`.

    Attributes:
        targets: Those of the documents.
        token_arrays: The `TokenArrays`.
    """

    def __init__(self, documents: Documents, tokenizer: Tokenizer) -> None:
        self.targets = documents.targets
        self.token_arrays = tokenize_each(documents, tokenizer)

    def __len__(self) -> int:
        return len(self.targets)


def hold_out(
    settings: TrainingSettings, documents: Documents
) -> tuple[Documents, Documents | None]:
    """Holds documents out to choose the best epoch by, where the settings say so.

    Args:
        settings: The settings of the training.
        documents: `Documents` to train on.

    Returns:
        Pair of `Documents`, those kept and those held out, or `None`.

    Raises:
        ValueError: If a class has one document only.
    """
    if not settings.validation_fraction:
        return documents, None
    _, sizes = np.unique(documents.strata, return_counts=True)
    if sizes.min() < 2:
        raise ValueError(
            "A class has one training document only, so none can be held out for "
            "validation: add documents, or set `validation_fraction` to 0 to choose "
            f"the best epoch by the training documents. Received: "
            f"validation_fraction={settings.validation_fraction}"
        )
    return train_test_split(documents, settings.validation_fraction, seed=settings.seed)


def learn_run_vocabulary(
    settings: TrainingSettings,
    folder: RunFolder,
    documents: Documents,
    verbose: int | str,
) -> list[str] | None:
    """Learns the vocabulary of a training, where one is needed and not there.

    Args:
        settings: The settings of the training.
        folder: Its `RunFolder`, which may hold a vocabulary.
        documents: `Documents` to learn from.
        verbose: Whether to say that it begins.

    Returns:
        The vocabulary, or `None` where none is needed.
    """
    if settings.tokenizer != "wordpiece" or folder.vocabulary_path.exists():
        return None
    import_tensorflow_text()
    say(verbose, f"Learning a vocabulary of {settings.vocabulary_size}")
    texts = documents.dataset().map(lambda text, label: text)
    return learn_vocabulary(texts, settings.vocabulary_size)


def open_run(
    settings: TrainingSettings,
    folder: RunFolder,
    documents: Documents,
    vocabulary: list[str] | None,
    verbose: int | str,
) -> Tokenizer | None:
    """Opens the run folder of a training, and warns of what its vocabulary lacks.

    Args:
        settings: The settings of the training.
        folder: Its `RunFolder`.
        documents: `Documents` to train on.
        vocabulary: What `learn_run_vocabulary` gives, or that of another run.
        verbose: Whether to say that the training is complete.

    Returns:
        The tokenizer, or `None` where the training is complete.
    """
    folder.open(settings, documents)
    if folder.model_path.exists():
        say(verbose, f"Trained before: {folder.path}")
        return None
    if vocabulary is not None:
        folder.save_vocabulary(vocabulary)
    tokenizer = folder.tokenizer()
    warn_of_unknown(tokenizer, documents)
    return tokenizer


def warn_of_unknown(tokenizer: Tokenizer, documents: Documents) -> None:
    """Warns where much of the text is not what the vocabulary can spell."""
    if not isinstance(tokenizer, WordPieceTokenizer):
        return
    sample = documents.dataset().shard(-(-len(documents) // SAMPLED_DOCUMENTS), 0)
    texts = [text.numpy()[:SAMPLED_BYTES] for text, _ in sample]
    share = tokenizer.unknown_share(texts)
    if share > UNKNOWN_SHARE:
        warnings.warn(
            f"{share:.1%} of the bytes of words are unknown to the vocabulary of "
            f"{tokenizer.vocabulary_size} tokens: the model does not see what they "
            "are. Expected at most "
            f"{UNKNOWN_SHARE:.0%}: pass a larger `vocabulary_size`, or bytes, which "
            "lose nothing (`--tokenizer bytes`).",
            stacklevel=4,
        )
