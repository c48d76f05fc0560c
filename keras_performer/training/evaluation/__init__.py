"""What a model makes of texts that training did not see, one file a kind of model."""

from keras_performer.training.evaluation.classifier import (
    Evaluation,
    evaluate_classifier,
    mean_log_probabilities,
)
from keras_performer.training.evaluation.language_model import (
    LanguageModelEvaluation,
    evaluate_language_model,
)
from keras_performer.training.evaluation.masked_language_model import (
    MaskedEvaluation,
    evaluate_masked_language_model,
)

__all__ = [
    "Evaluation",
    "LanguageModelEvaluation",
    "MaskedEvaluation",
    "evaluate_classifier",
    "evaluate_language_model",
    "evaluate_masked_language_model",
    "mean_log_probabilities",
]


def __dir__() -> list[str]:
    return sorted(__all__)
