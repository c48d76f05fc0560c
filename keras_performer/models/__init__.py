"""Models, each a page: layers, functional model, configuration."""

from keras_performer.models import presets, samplers
from keras_performer.models.performer_backbone import PerformerBackbone
from keras_performer.models.performer_causal_lm import PerformerCausalLM
from keras_performer.models.performer_masked_lm import PerformerMaskedLM
from keras_performer.models.performer_seq2seq_backbone import PerformerSeq2SeqBackbone
from keras_performer.models.performer_seq2seq_lm import PerformerSeq2SeqLM
from keras_performer.models.performer_text_classifier import PerformerTextClassifier
from keras_performer.models.performer_text_embedder import PerformerTextEmbedder
from keras_performer.renamed import renamed_attributes

__all__ = [
    "PerformerBackbone",
    "PerformerCausalLM",
    "PerformerMaskedLM",
    "PerformerSeq2SeqBackbone",
    "PerformerSeq2SeqLM",
    "PerformerTextClassifier",
    "PerformerTextEmbedder",
    "presets",
    "samplers",
]

__getattr__ = renamed_attributes(
    __name__,
    globals(),
    {
        "DocumentClassifier": "PerformerTextClassifier",
        "DocumentEmbedder": "PerformerTextEmbedder",
    },
)


def __dir__() -> list[str]:
    return sorted(__all__)
