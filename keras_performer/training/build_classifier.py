"""`build_classifier`: the model that some settings say."""

from collections.abc import Sequence

from keras_performer.layers import HashedNgrams
from keras_performer.models import PerformerTextClassifier
from keras_performer.models.problems import get_problem
from keras_performer.training.build_encoder import build_encoder
from keras_performer.training.classifier_settings import ClassifierSettings
from keras_performer.training.train_ngrams import RATE


def build_classifier(
    settings: ClassifierSettings,
    vocabulary_size: int,
    num_classes: int,
    token_kinds: Sequence[int] | None = None,
) -> PerformerTextClassifier:
    """Builds the model of some settings.

    Args:
        settings: A `ClassifierSettings`.
        vocabulary_size: Number of token ids.
        num_classes: Number of classes, of labels, or 1 for a number.
        token_kinds: The `token_kinds` of the tokenizer, for the n-grams; `None` for a
            model without them.

    Returns:
        A `PerformerTextClassifier`, not compiled.
    """
    ngrams = None
    if token_kinds is not None and settings.ngram_buckets:
        ngrams = HashedNgrams(
            settings.ngram_buckets,
            token_kinds,
            rate=RATE,
            scale=get_problem(settings.problem).ngram_scale,
            seed=settings.seed,
            name="ngrams",
        )
    return PerformerTextClassifier(
        build_encoder(settings, vocabulary_size),
        num_classes,
        dropout=settings.dropout,
        ngrams=ngrams,
        problem=settings.problem,
        seed=settings.seed,
    )
