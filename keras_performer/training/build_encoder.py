"""`build_encoder`: the backbone that some settings say."""

from keras_performer.models import PerformerBackbone
from keras_performer.training.training_settings import TrainingSettings


def build_encoder(
    settings: TrainingSettings, vocabulary_size: int
) -> PerformerBackbone:
    """Builds the encoder of some settings.

    Args:
        settings: A `ClassifierSettings` or `PretrainingSettings`.
        vocabulary_size: Number of token ids.

    Returns:
        A `PerformerBackbone`.
    """
    return PerformerBackbone(
        vocabulary_size=vocabulary_size,
        num_layers=settings.num_layers,
        num_heads=settings.num_heads,
        hidden_dim=settings.hidden_dim,
        intermediate_dim=settings.intermediate_dim,
        dropout=settings.dropout,
        # Whole periods within the trained windows: later positions bring nothing new.
        max_wavelength=max(1, settings.context_length // 7),
        block=settings.block,
        feature_map=settings.feature_map,
        num_features=settings.num_features,
        seed=settings.seed,
        dtype="mixed_bfloat16" if settings.mixed_precision else None,
    )
