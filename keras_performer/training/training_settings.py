"""`TrainingSettings`: what trainings of an encoder on documents have in common."""

import dataclasses
import json
from typing import Any, ClassVar, TypeVar

from keras_performer.models.block_stack import BLOCKS
from keras_performer.text import Documents, find_train_test
from keras_performer.text.documents import MAX_BYTES
from keras_performer.text.targets import get_targets

TOKENIZERS = ("wordpiece", "bytes")
_Settings = TypeVar("_Settings", bound="TrainingSettings")


@dataclasses.dataclass(frozen=True)
class TrainingSettings:
    """The settings that `train_classifier` and `pretrain_encoder` share.

    A base class, of `ClassifierSettings` and `PretrainingSettings`.

    Args:
        data: Folder or file of documents, as `find_train_test` takes it:
            `data/<class>/...`, or `data/train/<class>/...` and
            `data/test/<class>/...`, or a table of them.
        tokenizer: `"wordpiece"`, with a vocabulary learnt from the training documents,
            or `"bytes"`.
        vocabulary_size: Largest size of a learnt vocabulary.
        context_length: Longest window of a document that training sees, in tokens.
        tokens_per_batch: Tokens of a batch, padding included.
        epochs: Passes over the training documents.
        learning_rate: Peak of the schedule (a tenth of warm-up, then a cosine to 0).
        weight_decay: Weight decay of AdamW.
        num_layers: Encoder blocks.
        num_heads: Attention heads of a block.
        hidden_dim: Features of a position.
        intermediate_dim: Hidden size of the feed-forward networks.
        dropout: Dropout rate.
        block: Kind of the blocks, `"gated"` or `"plain"`; see `PerformerBackbone`.
        feature_map: `"relu"`, `"softmax"` (FAVOR+), or another name that
            `keras_performer.feature_maps.get` knows.
        num_features: Random features of a head, or `None` for the layer's default.
        redraw_interval: Steps between two draws of the projections; 0 for never.
        validation_fraction: Share of the training documents that is held out to choose
            the best weights; 0 to choose by what the training itself measures.
        max_bytes: Largest size of a document, in bytes; each is in memory as a whole.
        seed: Seeds weights, projections, dropout and the order of the documents.
        text_column: Column of the texts, where the documents are rows of a table.
        label_column: Column of the labels there.
        early_stopping: Number of epochs without a better one after which the training
            ends; 0 for never.
        mixed_precision: Whether the layers of the backbone compute in bfloat16; their
            weights stay float32.
        problem: `"single_label"`; `"multi_label"`, any number of labels a document; or
            `"regression"`, a number. The last two need a table.
        label_separator: What stands between several labels in a string, such as `"|"`;
            `None` where the column has lists.

    Raises:
        ValueError: If a setting is out of its range.
    """

    # The command, for errors.
    command: ClassVar[str]

    data: str
    tokenizer: str = "wordpiece"
    vocabulary_size: int = 8192
    context_length: int = 1024
    tokens_per_batch: int = 8192
    epochs: int = 5
    learning_rate: float = 3e-3
    weight_decay: float = 0.05
    num_layers: int = 2
    num_heads: int = 2
    hidden_dim: int = 64
    intermediate_dim: int = 128
    dropout: float = 0.1
    block: str = "gated"
    feature_map: str = "relu"
    num_features: int | None = None
    redraw_interval: int = 100
    validation_fraction: float = 0.1
    max_bytes: int = MAX_BYTES
    seed: int = 0
    text_column: str = "text"
    label_column: str = "label"
    early_stopping: int = 0
    mixed_precision: bool = False
    problem: str = "single_label"
    label_separator: str | None = None

    def __post_init__(self) -> None:
        self._check_known("tokenizer", TOKENIZERS)
        self._check_known("block", tuple(BLOCKS))
        get_targets(self.problem, self.label_separator)  # raises
        self._check_positive(
            "vocabulary_size",
            "context_length",
            "tokens_per_batch",
            "epochs",
            "num_layers",
            "num_heads",
            "hidden_dim",
            "intermediate_dim",
            "max_bytes",
        )
        if self.tokens_per_batch < self.context_length:
            raise ValueError(
                "A batch must hold a window at least: raise `tokens_per_batch` or "
                f"lower `context_length`. Received: tokens_per_batch="
                f"{self.tokens_per_batch}, context_length={self.context_length}"
            )
        self._check_not_negative(
            "learning_rate", "weight_decay", "redraw_interval", "seed", "early_stopping"
        )
        self._check_share("dropout", "validation_fraction")
        if self.hidden_dim % self.num_heads or self.hidden_dim % 2:
            raise ValueError(
                "`hidden_dim` must be even and a multiple of `num_heads`. Received: "
                "hidden_dim="
                f"{self.hidden_dim}, num_heads={self.num_heads}"
            )

    def _check_known(self, name: str, known: tuple[Any, ...]) -> None:
        value = getattr(self, name)
        if value not in known:
            raise ValueError(
                f"`{name}` must be one of {known}. Received: {name}={value!r}"
            )

    def _check_positive(self, *names: str) -> None:
        for name in names:
            value = getattr(self, name)
            if not isinstance(value, int) or value <= 0:
                raise ValueError(
                    f"`{name}` must be a positive integer. Received: {name}={value!r}"
                )

    def _check_not_negative(self, *names: str) -> None:
        for name in names:
            value = getattr(self, name)
            if value < 0:
                raise ValueError(
                    f"`{name}` must not be negative. Received: {name}={value!r}"
                )

    def _check_share(self, *names: str) -> None:
        for name in names:
            value = getattr(self, name)
            if not 0 <= value < 1:
                raise ValueError(
                    f"`{name}` must be in [0, 1). Received: {name}={value!r}"
                )

    def find_train_test(self) -> tuple[Documents, Documents]:
        """Finds the documents to train on and those to test on."""
        return find_train_test(
            self.data,
            max_bytes=self.max_bytes,
            text_column=self.text_column,
            label_column=self.label_column,
            problem=self.problem,
            label_separator=self.label_separator,
        )

    def to_json(self) -> str:
        """Returns the settings as JSON text."""
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls: type[_Settings], text: str) -> _Settings:
        """Makes settings from what `to_json` returned."""
        return cls(**json.loads(text))
