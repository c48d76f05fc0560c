"""What a model makes of texts that training did not see, one file a kind of model."""

from keras_performer.models.problems import mean_log_probabilities
from keras_performer.training.evaluation.calibration_error import (
    Calibration,
    CalibrationBin,
    calibration_error,
)
from keras_performer.training.evaluation.classifier import (
    ClassifierPredictions,
    Evaluation,
    evaluate_classifier,
    predict_classifier,
    predict_experts,
    predict_texts,
    worst_errors,
)
from keras_performer.training.evaluation.confusion_matrix import (
    ClassScores,
    ConfusionMatrix,
    label_scores,
)
from keras_performer.training.evaluation.language_model import (
    LanguageModelEvaluation,
    evaluate_language_model,
)
from keras_performer.training.evaluation.masked_language_model import (
    MaskedEvaluation,
    evaluate_masked_language_model,
)
from keras_performer.training.evaluation.occlusion import (
    Explanation,
    Passage,
    explain_by_occlusion,
)

__all__ = [
    "Calibration",
    "CalibrationBin",
    "ClassScores",
    "ClassifierPredictions",
    "ConfusionMatrix",
    "Evaluation",
    "Explanation",
    "LanguageModelEvaluation",
    "MaskedEvaluation",
    "Passage",
    "calibration_error",
    "evaluate_classifier",
    "evaluate_language_model",
    "evaluate_masked_language_model",
    "explain_by_occlusion",
    "label_scores",
    "mean_log_probabilities",
    "predict_classifier",
    "predict_experts",
    "predict_texts",
    "worst_errors",
]


def __dir__() -> list[str]:
    return sorted(__all__)
