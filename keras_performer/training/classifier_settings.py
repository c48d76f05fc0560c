"""`ClassifierSettings`: what a training of a document classifier is made of."""

import dataclasses
from typing import ClassVar

from keras_performer.models.problems import check_label_smoothing, get_problem
from keras_performer.training.training_settings import TrainingSettings

MONITORS = ("accuracy", "loss")
CLASS_WEIGHTS = (None, "balanced")


@dataclasses.dataclass(frozen=True)
class ClassifierSettings(TrainingSettings):
    """The settings of `train_classifier`, written beside what it trains.

    Args:
        monitor: `"accuracy"`, to keep the weights of the epoch of highest accuracy, and
            of equal ones that of the lowest loss; or `"loss"`, the lowest alone. Of
            several labels the accuracy is micro F1; of a number it is the loss.
        ngram_buckets: Buckets of hashed words and pairs of words, a linear classifier
            beside the encoder; 0 for the encoder alone.
        ngram_epochs: Passes of the n-grams over the training documents.
        class_weight: `None`, or `"balanced"`: windows of rare classes weigh more in the
            loss of the training, so that each class has the same share of it.
        pretrained: Run folder of `pretrain_encoder`, whose vocabulary and encoder the
            training starts from; `None` to start from random weights.
        label_smoothing: Share of the probability of the right answer that the
            encoder's loss spreads over all classes; of each label of several, over yes
            and no.
        token_dropout: Probability with which a token is left out, in each step of the
            encoder's training others; see `TokenDropout`.
        **others: The settings of `TrainingSettings`.

    Raises:
        ValueError: If a setting is out of its range.

    Example:

    >>> settings = ClassifierSettings(data="books", epochs=3)
    >>> ClassifierSettings.from_json(settings.to_json()) == settings
    True
    """

    command: ClassVar[str] = "train"

    monitor: str = "accuracy"
    ngram_buckets: int = 2**20
    ngram_epochs: int = 5
    class_weight: str | None = None
    pretrained: str | None = None
    label_smoothing: float = 0.0
    token_dropout: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        get_problem(self.problem)  # raises
        self._check_known("monitor", MONITORS)
        self._check_known("class_weight", CLASS_WEIGHTS)
        if self.class_weight is not None and self.problem != "single_label":
            raise ValueError(
                "`class_weight` needs one class a document. Leave it out, or pass "
                f"problem='single_label'. Received: class_weight={self.class_weight!r},"
                f" problem={self.problem!r}"
            )
        self._check_positive("ngram_epochs")
        self._check_not_negative("ngram_buckets")
        self._check_share("token_dropout")
        check_label_smoothing(self.problem, self.label_smoothing)
