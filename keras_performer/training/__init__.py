"""Training by steps and of classifiers, evaluation, and the baselines."""

from keras_performer.training.build_classifier import build_classifier
from keras_performer.training.classifier_settings import ClassifierSettings
from keras_performer.training.evaluation import (
    Evaluation,
    LanguageModelEvaluation,
    MaskedEvaluation,
    evaluate_classifier,
    evaluate_language_model,
    evaluate_masked_language_model,
)
from keras_performer.training.out_of_memory import OutOfMemory
from keras_performer.training.performer_optimizer import performer_optimizer
from keras_performer.training.pretrain_encoder import pretrain_encoder
from keras_performer.training.pretraining_settings import PretrainingSettings
from keras_performer.training.run_folder import RunFolder
from keras_performer.training.text_baselines import (
    compressed_bits_per_byte,
    unigram_bits,
)
from keras_performer.training.train_classifier import train_classifier
from keras_performer.training.train_steps import train_steps

__all__ = [
    "ClassifierSettings",
    "Evaluation",
    "LanguageModelEvaluation",
    "MaskedEvaluation",
    "OutOfMemory",
    "PretrainingSettings",
    "RunFolder",
    "build_classifier",
    "compressed_bits_per_byte",
    "evaluate_classifier",
    "evaluate_language_model",
    "evaluate_masked_language_model",
    "performer_optimizer",
    "pretrain_encoder",
    "train_classifier",
    "train_steps",
    "unigram_bits",
]


def __dir__() -> list[str]:
    return sorted(__all__)
