"""`PerformerMaskedLM`: masked tokens, from the context on both sides."""

from typing import Any

import keras
from keras import ops

from keras_performer.layers.sublayers import normalization_layer
from keras_performer.models.backbone_task import BackboneTask, token_logits
from keras_performer.models.block_stack import EPSILON, initializer
from keras_performer.models.performer_backbone import PerformerBackbone


@keras.saving.register_keras_serializable(package="keras_performer")
class PerformerMaskedLM(BackboneTask):
    """Predicts masked tokens: a backbone, and its token embedding in reverse.

    As BERT's (arXiv 1810.04805): a dense layer, a normalization, and logits by the
    weights of the token embedding. Train it on what `text.TokenMasking` makes of
    batches, `(inputs, targets, sample_weight)`, with
    `keras.losses.SparseCategoricalCrossentropy(from_logits=True,
    reduction="mean_with_sample_weight")`, so that the masked positions alone count.

    Args:
        backbone: A `PerformerBackbone` that is not causal.
        seed: Integer that seeds the dense layer, or `None`.
        **kwargs: Arguments of `keras.Model`, such as `name`.

    Call arguments:
        inputs: Inputs of the backbone: token ids, an integer tensor of shape (B, T), 0
            where there is padding; with `packed=True` a dictionary with `segment_ids`.

    Returns:
        Logits of the tokens, float32 tensor of shape (B, T, V).

    Raises:
        ValueError: If the backbone is causal.

    Example:

    >>> import numpy as np
    >>> from keras_performer.models import PerformerBackbone
    >>> backbone = PerformerBackbone(
    ...     vocabulary_size=30, num_layers=1, num_heads=2, hidden_dim=16,
    ...     intermediate_dim=32, seed=0,
    ... )
    >>> PerformerMaskedLM(backbone, seed=0)(np.ones((1, 100), "int32")).shape
    TensorShape([1, 100, 30])
    """

    def __init__(
        self, backbone: PerformerBackbone, seed: int | None = None, **kwargs: Any
    ) -> None:
        if backbone.causal:
            raise ValueError(
                "The backbone must be made with `causal=False`: in a causal one a "
                "masked position sees nothing behind it. For the next token there is "
                f"`PerformerCausalLM`. Received: causal={backbone.causal}"
            )
        # === Layers ===
        dtype = backbone.layers_policy
        transform = keras.layers.Dense(
            backbone.hidden_dim,
            activation=backbone.activation,
            kernel_initializer=initializer(backbone.hidden_dim, seed),
            dtype=dtype,
            name="transform",
        )
        norm = normalization_layer(
            backbone.normalization,
            epsilon=EPSILON,
            dtype=dtype,
            name="transform_norm",
        )
        logits = token_logits(backbone)

        # === Functional model ===
        hidden_states = norm(transform(backbone(backbone.input)))
        outputs = logits(hidden_states)
        super().__init__(inputs=backbone.input, outputs=outputs, **kwargs)

        # === Config ===
        self._set_arguments(backbone, seed=seed)

    def at_positions(self) -> keras.Model:
        """Makes a model of the same weights that reads out some positions alone.

        Logits are most of the work of a large vocabulary, and a training needs those of
        the masked positions alone: about one in seven.

        Returns:
            Model from a dictionary of the backbone's inputs and `mask_positions`, an
            integer tensor of shape (B, P), to logits, float32 tensor of shape
            (B, P, V).

        Example:

        >>> import numpy as np
        >>> from keras_performer.models import PerformerBackbone
        >>> backbone = PerformerBackbone(
        ...     vocabulary_size=30, num_layers=1, num_heads=2, hidden_dim=16,
        ...     intermediate_dim=32, seed=0,
        ... )
        >>> model = PerformerMaskedLM(backbone, seed=0)
        >>> ids = np.ones((1, 100), int)
        >>> inputs = {"token_ids": ids, "mask_positions": np.array([[3, 4]])}
        >>> logits = model.at_positions()(inputs)
        >>> bool(np.allclose(logits, model(ids)[:, 3:5], atol=1e-5))
        True
        """
        inputs = self.backbone.input
        hidden_states = self.backbone(inputs)
        if not isinstance(inputs, dict):
            inputs = {"token_ids": inputs}
        positions = keras.Input((None,), dtype="int32", name="mask_positions")
        hidden_states = ops.take_along_axis(hidden_states, positions[..., None], axis=1)
        for name in ("transform", "transform_norm"):
            hidden_states = self.get_layer(name)(hidden_states)
        return keras.Model(
            {**inputs, "mask_positions": positions},
            token_logits(self.backbone)(hidden_states),
            name=f"{self.name}_at_positions",
        )
