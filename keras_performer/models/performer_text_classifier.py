"""`PerformerTextClassifier`: labels, or a number, for a document of any length."""

from typing import Any

import keras
from keras import ops

from keras_performer.layers import HashedNgrams, MaskedAveragePooling
from keras_performer.models.backbone_task import BackboneTask
from keras_performer.models.problems import get_problem
from keras_performer.ops.backend import take_rows
from keras_performer.renamed import also_registered_as


class _LargeEmbedding(keras.layers.Embedding):
    """An embedding of so many rows that a step should not read the whole table."""

    def call(self, inputs: Any) -> Any:
        if self.lora_enabled:
            return super().call(inputs)
        return take_rows(self.embeddings, inputs)


@also_registered_as("DocumentClassifier")
@keras.saving.register_keras_serializable(package="keras_performer")
class PerformerTextClassifier(BackboneTask):
    """Classifies documents: a backbone, masked pooling, and a dense layer.

    With `ngrams` it is a wide and deep model (arXiv 1606.07792): a linear classifier of
    words and pairs of words stands beside the backbone. For many classes of documents
    the words alone tell more than a small backbone learns. The two are trained each by
    itself, as `ngram_classifier` and `encoder_classifier`, and `experts` says how much
    each counts: the probabilities are proportional to the product of theirs, each to
    the power of its weight. `train_classifier` finds the weights on documents held out.

    | `problem` | outputs | loss |
    |---|---|---|
    | `"single_label"` | softmax: probabilities that add up to 1 | cross-entropy |
    | `"multi_label"` | sigmoid: a probability of each label | binary cross-entropy |
    | `"regression"` | a number, in the units of the targets | squared error |

    For several labels the product is that of each label, yes or no. For a number the
    experts' numbers are added, each times its weight; `units` keeps the mean and the
    standard deviation of the targets.

    Args:
        backbone: A model from token ids (B, T) to hidden states (B, T, F), such as
            `PerformerBackbone`.
        num_classes: Number of classes, at least 2; of several labels their number, at
            least 1; of a number 1.
        dropout: Dropout rate before the last layer.
        seed: Integer that seeds the last layer and dropout, or `None`.
        ngrams: A `keras_performer.layers.HashedNgrams`, or `None` for the backbone
            alone.
        problem: `"single_label"`, `"multi_label"` or `"regression"`.
        **kwargs: Arguments of `keras.Model`, such as `name`.

    Call arguments:
        token_ids: Integer tensor of shape (B, T), 0 where there is padding.

    Returns:
        Probabilities, or numbers, float32 tensor of shape (B, num_classes).

    Raises:
        ValueError: If there are too few classes for the problem, or there is no such
            problem.

    Attributes:
        embedder: Model from token ids to what the backbone's hidden states are on
            average, (B, F).
        encoder_classifier: Model from token ids to probabilities by the backbone alone,
            or `None` where there are no n-grams.
        ngram_classifier: Model from token ids to probabilities by the n-grams alone, or
            `None`.
        experts: The layer that joins the two, such as `ProductOfExperts`, or `None`.
        units: Of a number, the layer with mean and variance of the targets (its `adapt`
            takes them), or `None`.

    Example:

    >>> import numpy as np
    >>> from keras_performer.models import PerformerBackbone
    >>> backbone = PerformerBackbone(
    ...     vocabulary_size=257, num_layers=1, num_heads=2, hidden_dim=16,
    ...     intermediate_dim=32, seed=0,
    ... )
    >>> classifier = PerformerTextClassifier(backbone, num_classes=3)
    >>> classifier(np.ones((2, 100), "int32")).shape
    TensorShape([2, 3])
    """

    def __init__(
        self,
        backbone: keras.Model,
        num_classes: int,
        dropout: float = 0.0,
        seed: int | None = None,
        ngrams: HashedNgrams | None = None,
        problem: str = "single_label",
        **kwargs: Any,
    ) -> None:
        kind = get_problem(problem)
        most = kind.most_classes or num_classes
        if (
            not isinstance(num_classes, int)
            or not kind.least_classes <= num_classes <= most
        ):
            raise ValueError(
                f"`num_classes` must be an integer of at least {kind.least_classes} "
                f"with problem={problem!r}, and 1 for a number. Received: "
                f"num_classes={num_classes!r}"
            )
        # === Layers ===
        pooling = MaskedAveragePooling(dtype="float32", name="pooling")
        pooled_dropout = keras.layers.Dropout(
            dropout, seed=seed, dtype="float32", name="pooled_dropout"
        )
        probabilities = keras.layers.Dense(
            num_classes,
            activation=kind.activation,
            kernel_initializer=keras.initializers.GlorotUniform(seed=seed),
            dtype="float32",
            name="probabilities",
        )

        units = kind.units()

        # === Functional model ===
        token_ids = backbone.input
        pooled = pooling(backbone(token_ids))
        by_encoder = probabilities(pooled_dropout(pooled))
        if units is not None:
            by_encoder = units(by_encoder)
        outputs = by_encoder
        experts = by_ngrams = None
        if ngrams is not None:
            experts = kind.experts(name="experts")
            ngram_logits = _LargeEmbedding(
                ngrams.num_buckets,
                num_classes,
                embeddings_initializer="zeros",
                dtype="float32",
                name="ngram_logits",
            )
            buckets, weights = ngrams(token_ids)
            logits = ops.matmul(weights[:, None], ngram_logits(buckets))[:, 0]
            by_ngrams = keras.activations.get(kind.activation)(logits)
            if units is not None:
                by_ngrams = units(by_ngrams)
            outputs = experts([by_ngrams, by_encoder])
        super().__init__(inputs=token_ids, outputs=outputs, **kwargs)

        self.embedder = keras.Model(token_ids, pooled, name="embedder")
        self.experts: Any = experts
        self.units: Any = units
        self.encoder_classifier: Any = None
        self.ngram_classifier: Any = None
        if ngrams is not None:
            self.encoder_classifier = keras.Model(
                token_ids, by_encoder, name="encoder_classifier"
            )
            self.ngram_classifier = keras.Model(
                token_ids, by_ngrams, name="ngram_classifier"
            )

        # === Config ===
        self._set_arguments(
            backbone,
            num_classes=num_classes,
            dropout=dropout,
            seed=seed,
            ngrams=ngrams,
            problem=problem,
        )

    def get_config(self) -> dict[str, Any]:
        ngrams = self.ngrams and keras.saving.serialize_keras_object(self.ngrams)
        return {**super().get_config(), "ngrams": ngrams}

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None
    ) -> "PerformerTextClassifier":
        ngrams = config.get("ngrams")
        if isinstance(ngrams, dict):
            ngrams = keras.saving.deserialize_keras_object(ngrams)
        return super().from_config({**config, "ngrams": ngrams}, custom_objects)
