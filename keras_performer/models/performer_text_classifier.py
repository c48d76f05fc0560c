"""`PerformerTextClassifier`: one label for a document of any length."""

from typing import Any

import keras

from keras_performer.layers import MaskedAveragePooling
from keras_performer.models.backbone_task import BackboneTask
from keras_performer.renamed import also_registered_as


@also_registered_as("DocumentClassifier")
@keras.saving.register_keras_serializable(package="keras_performer")
class PerformerTextClassifier(BackboneTask):
    """Classifies documents: a backbone, masked pooling, and a softmax layer.

    Args:
        backbone: A model from token ids (B, T) to hidden states (B, T, F), such as
            `PerformerBackbone`.
        num_classes: Number of classes, at least 2.
        dropout: Dropout rate before the last layer.
        seed: Integer that seeds the last layer and dropout, or `None`.
        **kwargs: Arguments of `keras.Model`, such as `name`.

    Call arguments:
        token_ids: Integer tensor of shape (B, T), 0 where there is padding.

    Returns:
        Probabilities, float32 tensor of shape (B, num_classes).

    Raises:
        ValueError: If there are fewer than two classes.

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
        pooled = pooling(backbone(backbone.input))
        outputs = probabilities(pooled_dropout(pooled))
        super().__init__(inputs=backbone.input, outputs=outputs, **kwargs)

        self.embedder = keras.Model(backbone.input, pooled, name="embedder")

        # === Config ===
        self._set_arguments(
            backbone, num_classes=num_classes, dropout=dropout, seed=seed
        )
