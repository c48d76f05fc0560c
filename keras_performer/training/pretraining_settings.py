"""`PretrainingSettings`: what a masked-token pretraining is made of."""

import dataclasses
from typing import ClassVar

from keras_performer.training.training_settings import TrainingSettings


@dataclasses.dataclass(frozen=True)
class PretrainingSettings(TrainingSettings):
    """The settings of `pretrain_encoder`, written beside what it trains.

    Args:
        masking_rate: Share of the tokens of a window that are hidden and to be told.
        **others: The settings of `TrainingSettings`. With the `problem` of the
            training to come, and its labels, the documents are those that it trains on.
            `problem="unlabelled"` reads texts without labels: all files below a folder,
            or a table without such a column.

    Raises:
        ValueError: If a setting is out of its range.

    Example:

    >>> settings = PretrainingSettings(data="texts", problem="unlabelled")
    >>> PretrainingSettings.from_json(settings.to_json()).masking_rate
    0.15
    """

    command: ClassVar[str] = "pretrain"

    masking_rate: float = 0.15

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.masking_rate < 1:
            raise ValueError(
                "`masking_rate` must be above 0 and below 1. Received: masking_rate="
                f"{self.masking_rate!r}"
            )
