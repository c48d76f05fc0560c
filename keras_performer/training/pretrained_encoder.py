"""`PretrainedEncoder`: vocabulary and encoder of a pretraining, for a classifier."""

from typing import Any

import keras

from keras_performer.models import PerformerBackbone
from keras_performer.text.vocabulary import load_vocabulary
from keras_performer.training.classifier_settings import ClassifierSettings
from keras_performer.training.pretraining_settings import PretrainingSettings
from keras_performer.training.run_folder import RunFolder

# What decides the vocabulary, the shapes and the meaning of the encoder's weights.
SAME = (
    "tokenizer",
    "vocabulary_size",
    "context_length",
    "num_layers",
    "num_heads",
    "hidden_dim",
    "intermediate_dim",
    "block",
    "feature_map",
    "num_features",
)


class PretrainedEncoder:
    """What a run of `pretrain_encoder` gives to a classifier of the same settings.

    Args:
        settings: The `ClassifierSettings` of the training to come; `pretrained` is the
            folder of the run.

    Attributes:
        model: The `PerformerMaskedLM`.
        vocabulary: That of its tokenizer, or `None` where it has none.

    Raises:
        ValueError: If the run is not complete or damaged, or its encoder is of other
            settings.
    """

    def __init__(self, settings: ClassifierSettings) -> None:
        self.folder = RunFolder(settings.pretrained or "", PretrainingSettings)
        self.model = self.folder.model()
        self.vocabulary: list[str] | None = None
        if self.folder.vocabulary_path.exists():
            self.vocabulary = load_vocabulary(self.folder.vocabulary_path)
        there = self.folder.settings()
        differences = [
            f"{name}: {getattr(there, name)!r} there, {getattr(settings, name)!r} now"
            for name in SAME
            if getattr(there, name) != getattr(settings, name)
        ]
        if differences:
            raise ValueError(
                f"The encoder that was pretrained in {str(self.folder.path)!r} is of "
                f"other settings ({'; '.join(differences)}). Pass those that it has "
                "there, or pretrain one with these. (`context_length` sets the "
                "wavelengths of its positions.)"
            )

    def copy_to(self, backbone: PerformerBackbone) -> None:
        """Copies its weights into the backbone of a classifier.

        The masked language model's vocabulary has one token more, the mask, which is
        the last: the classifier's embedding takes the rows before it.

        Args:
            backbone: A backbone of the same settings.
        """
        rows = backbone.vocabulary_size
        for ours, theirs in zip(
            backbone.weights, self.model.backbone.weights, strict=True
        ):
            values: Any = keras.ops.convert_to_numpy(theirs)
            is_embedding = ours is backbone.token_embedding.embeddings
            ours.assign(values[:rows] if is_embedding else values)
