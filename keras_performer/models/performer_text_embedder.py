"""`PerformerTextEmbedder`: a unit vector for a document of any length."""

from typing import Any

import keras
from keras import ops

from keras_performer.layers import MaskedAveragePooling
from keras_performer.layers.validation import check_optional_size
from keras_performer.models.backbone_task import BackboneTask
from keras_performer.renamed import also_registered_as

SMALLEST_SQUARE = 1e-12  # of the length of a vector that becomes a unit vector


@also_registered_as("DocumentEmbedder")
@keras.saving.register_keras_serializable(package="keras_performer")
class PerformerTextEmbedder(BackboneTask):
    """Embeds documents: a backbone, masked pooling, a projection, and length 1.

    The inner product of two embeddings is their cosine similarity. Train it by
    `similarity_model`, on pairs of documents that belong together.

    Args:
        backbone: A model from token ids (B, T) to hidden states (B, T, F), such as
            `PerformerBackbone`.
        embedding_dim: E, the size of an embedding; `None` for the backbone's F,
            without a projection.
        seed: Integer that seeds the projection, or `None`.
        **kwargs: Arguments of `keras.Model`, such as `name`.

    Call arguments:
        token_ids: Integer tensor of shape (B, T), 0 where there is padding.

    Returns:
        Unit vectors, float32 tensor of shape (B, E); zeros for a document without any
        token.

    Raises:
        ValueError: If `embedding_dim` is not positive.

    Example:

    >>> import numpy as np
    >>> from keras_performer.models import PerformerBackbone
    >>> backbone = PerformerBackbone(
    ...     vocabulary_size=257, num_layers=1, num_heads=2, hidden_dim=16,
    ...     intermediate_dim=32, seed=0,
    ... )
    >>> embedder = PerformerTextEmbedder(backbone, embedding_dim=8)
    >>> embedder(np.ones((2, 100), "int32")).shape
    TensorShape([2, 8])
    """

    def __init__(
        self,
        backbone: keras.Model,
        embedding_dim: int | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        check_optional_size("embedding_dim", embedding_dim)
        # === Layers ===
        pooling = MaskedAveragePooling(dtype="float32", name="pooling")
        embedding = keras.layers.Activation("linear", dtype="float32", name="embedding")

        # === Functional model ===
        x = pooling(backbone(backbone.input))
        if embedding_dim is not None:
            # No bias, so that a document without any token stays at zero.
            x = keras.layers.Dense(
                embedding_dim,
                use_bias=False,
                kernel_initializer=keras.initializers.GlorotUniform(seed=seed),
                dtype="float32",
                name="projection",
            )(x)
        # Not `ops.normalize`, whose gradient at zero is NaN on JAX.
        square = ops.sum(ops.square(x), axis=1, keepdims=True)
        x = embedding(x * ops.rsqrt(ops.maximum(square, SMALLEST_SQUARE)))
        super().__init__(inputs=backbone.input, outputs=x, **kwargs)

        # === Config ===
        self._set_arguments(backbone, embedding_dim=embedding_dim, seed=seed)

    def similarity_model(self, temperature: float = 0.05) -> keras.Model:
        """The model that trains this one, on pairs: each has the others' as negatives.

        It compares all first documents of a batch with all second ones, and the loss
        asks for the partner among them (InfoNCE, arXiv 1807.03748; SimCSE, arXiv
        2104.08821). Its weights are those of the embedder. The targets number the pairs
        of a batch, so pairs are shuffled and batched first, and numbered then.

        Args:
            temperature: What similarities are divided by, a positive number.

        Returns:
            A `keras.Model` from a dictionary of `first_token_ids`, of shape (B, T), and
            `second_token_ids`, of shape (B, S), to logits of shape (B, B): a row for
            each first document, a column for each second one.

        Raises:
            ValueError: If the temperature is not positive.

        Example:

        >>> import numpy as np
        >>> from keras_performer.models import PerformerBackbone
        >>> backbone = PerformerBackbone(
        ...     vocabulary_size=257, num_layers=1, num_heads=2, hidden_dim=16,
        ...     intermediate_dim=32, seed=0,
        ... )
        >>> model = PerformerTextEmbedder(backbone).similarity_model()
        >>> model.compile(
        ...     "adam",
        ...     keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        ...     metrics=["sparse_categorical_accuracy"],
        ... )
        >>> ids = np.arange(1, 25, dtype="int32").reshape(4, 6)
        >>> pairs = {"first_token_ids": ids[:, :4], "second_token_ids": ids[:, 2:]}
        >>> loss, accuracy = model.train_on_batch(pairs, np.arange(4))
        """
        if not temperature > 0:
            raise ValueError(
                "`temperature` must be a positive number. Received: temperature="
                f"{temperature!r}"
            )
        token_ids = {
            name: keras.Input((None,), dtype="int32", name=name)
            for name in ("first_token_ids", "second_token_ids")
        }
        first, second = (self(ids) for ids in token_ids.values())
        similarities = ops.matmul(first, ops.transpose(second))  # (B, B)
        return keras.Model(
            token_ids, similarities / temperature, name="similarity_model"
        )
