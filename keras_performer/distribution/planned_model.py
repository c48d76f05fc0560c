"""The model that a plan compiles: a backbone of this package and tied logits."""

from typing import Any

import keras

from keras_performer.distribution.plan_settings import PlanSettings
from keras_performer.models import PerformerBackbone


def planned_model(settings: PlanSettings) -> Any:
    """Makes the model of a plan: token ids of shape (B, T) to logits (B, T, V).

    Inside a `keras.StatelessScope(initialize_variables=False)` its weights have shapes
    and no values.

    Args:
        settings: A `PlanSettings`.

    Returns:
        A `keras.Model`.
    """
    backbone = PerformerBackbone(
        vocabulary_size=settings.vocabulary_size,
        num_layers=settings.num_layers,
        num_heads=settings.num_heads,
        hidden_dim=settings.hidden_dim,
        intermediate_dim=settings.intermediate_dim,
        dropout=settings.dropout,
        feature_map=settings.feature_map,
        num_features=settings.num_features,
        seed=0,
        dtype=settings.dtype,
        causal=settings.causal,
        attention=settings.attention,
        remat=settings.remat,
    )
    logits = backbone.token_embedding(backbone.output, reverse=True)
    return keras.Model(backbone.input, logits)
