"""`build_classifier`: the model that some settings say."""

from collections.abc import Sequence

from keras_performer.layers import HashedNgrams
from keras_performer.models import PerformerBackbone, PerformerTextClassifier
from keras_performer.models.problems import get_problem
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
    backbone = PerformerBackbone(
        vocabulary_size=vocabulary_size,
        num_layers=settings.num_layers,
        num_heads=settings.num_heads,
        hidden_dim=settings.hidden_dim,
        intermediate_dim=settings.intermediate_dim,
        dropout=settings.dropout,
        # Whole periods within the trained windows: later positions bring nothing new.
        max_wavelength=max(1, settings.context_length // 7),
        block=settings.block,
        feature_map=settings.feature_map,
        num_features=settings.num_features,
        seed=settings.seed,
        dtype="mixed_bfloat16" if settings.mixed_precision else None,
    )
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
        backbone,
        num_classes,
        dropout=settings.dropout,
        ngrams=ngrams,
        problem=settings.problem,
        seed=settings.seed,
    )
