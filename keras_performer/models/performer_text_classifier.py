"""`PerformerTextClassifier`: one label for a document of any length."""

from typing import Any

import keras
from keras import ops

from keras_performer.layers import HashedNgrams, MaskedAveragePooling
from keras_performer.models.backbone_task import BackboneTask
from keras_performer.renamed import also_registered_as

SMALLEST_PROBABILITY = 1e-30  # below it a logarithm may be of zero


@also_registered_as("DocumentClassifier")
@keras.saving.register_keras_serializable(package="keras_performer")
class PerformerTextClassifier(BackboneTask):
    """Classifies documents: a backbone, masked pooling, and a softmax layer.

    With `ngrams` it is a wide and deep model (arXiv 1606.07792): a linear classifier of
    words and pairs of words stands beside the backbone. For many classes of documents
    the words alone tell more than a small backbone learns. The two are trained each by
    itself, as `ngram_classifier` and `encoder_classifier`, and `experts` says how much
    each counts: the probabilities are proportional to the product of theirs, each to
    the power of its weight. `train_classifier` finds the weights on documents held out.

    Args:
        backbone: A model from token ids (B, T) to hidden states (B, T, F), such as
            `PerformerBackbone`.
        num_classes: Number of classes, at least 2.
        dropout: Dropout rate before the last layer.
        seed: Integer that seeds the last layer and dropout, or `None`.
        ngrams: A `keras_performer.layers.HashedNgrams`, or `None` for the backbone
            alone.
        **kwargs: Arguments of `keras.Model`, such as `name`.

    Call arguments:
        token_ids: Integer tensor of shape (B, T), 0 where there is padding.

    Returns:
        Probabilities, float32 tensor of shape (B, num_classes).

    Raises:
        ValueError: If there are fewer than two classes.

    Attributes:
        embedder: Model from token ids to what the backbone's hidden states are on
            average, (B, F).
        encoder_classifier: Model from token ids to probabilities by the backbone alone,
            or `None` where there are no n-grams.
        ngram_classifier: Model from token ids to probabilities by the n-grams alone, or
            `None`.
        experts: The `ProductOfExperts` of the two, or `None`.

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
        **kwargs: Any,
    ) -> None:
        if not isinstance(num_classes, int) or num_classes < 2:
            raise ValueError(
                "`num_classes` must be an integer of at least 2. Received: "
                f"num_classes={num_classes!r}"
            )
        # === Layers ===
        pooling = MaskedAveragePooling(dtype="float32", name="pooling")
        pooled_dropout = keras.layers.Dropout(
            dropout, seed=seed, dtype="float32", name="pooled_dropout"
        )
        probabilities = keras.layers.Dense(
            num_classes,
            activation="softmax",
            kernel_initializer=keras.initializers.GlorotUniform(seed=seed),
            dtype="float32",
            name="probabilities",
        )

        # === Functional model ===
        token_ids = backbone.input
        pooled = pooling(backbone(token_ids))
        outputs = by_encoder = probabilities(pooled_dropout(pooled))
        experts = by_ngrams = None
        if ngrams is not None:
            experts = ProductOfExperts(name="experts")
            ngram_logits = keras.layers.Embedding(
                ngrams.num_buckets,
                num_classes,
                embeddings_initializer="zeros",
                dtype="float32",
                name="ngram_logits",
            )
            buckets, weights = ngrams(token_ids)
            logits = ops.matmul(weights[:, None], ngram_logits(buckets))[:, 0]
            by_ngrams = ops.softmax(logits)
            outputs = experts([by_ngrams, by_encoder])
        super().__init__(inputs=token_ids, outputs=outputs, **kwargs)

        self.embedder = keras.Model(token_ids, pooled, name="embedder")
        self.experts: Any = experts
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
            backbone, num_classes=num_classes, dropout=dropout, seed=seed, ngrams=ngrams
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


@keras.saving.register_keras_serializable(package="keras_performer")
class ProductOfExperts(keras.layers.Layer):
    """Joins the probabilities of classifiers: their product, each to a power.

    The powers are its weight `powers`, all 1 at the start. They are not trained with
    the experts: of training documents these are more certain than of others.

    Call arguments:
        probabilities: List of n tensors of shape (B, classes).

    Returns:
        Probabilities of shape (B, classes).

    Example:

    >>> import numpy as np
    >>> layer = ProductOfExperts()
    >>> experts = [np.array([[0.5, 0.5]]), np.array([[0.8, 0.2]])]
    >>> [round(float(p), 3) for p in layer(experts)[0]]
    [0.8, 0.2]
    """

    def build(self, shapes: list[tuple[int | None, ...]]) -> None:
        self.powers = self.add_weight(
            name="powers", shape=(len(shapes),), initializer="ones", trainable=False
        )

    def call(self, probabilities: list[Any]) -> Any:
        stacked = ops.stack(probabilities, axis=-1)  # (B, classes, n)
        logs = ops.log(ops.maximum(stacked, SMALLEST_PROBABILITY))
        return ops.softmax(ops.matmul(logs, self.powers), axis=-1)

    def compute_output_shape(
        self, shapes: list[tuple[int | None, ...]]
    ) -> tuple[int | None, ...]:
        return shapes[0]
