"""Floor 3: models, each a page: layers, functional model, configuration."""

from keras_performer.models import presets, samplers
from keras_performer.models.document_classifier import DocumentClassifier
from keras_performer.models.document_embedder import DocumentEmbedder
from keras_performer.models.performer_backbone import PerformerBackbone
from keras_performer.models.performer_causal_lm import PerformerCausalLM
from keras_performer.models.performer_masked_lm import PerformerMaskedLM
from keras_performer.models.performer_seq2seq_backbone import PerformerSeq2SeqBackbone
from keras_performer.models.performer_seq2seq_lm import PerformerSeq2SeqLM

__all__ = [
    "DocumentClassifier",
    "DocumentEmbedder",
    "PerformerBackbone",
    "PerformerCausalLM",
    "PerformerMaskedLM",
    "PerformerSeq2SeqBackbone",
    "PerformerSeq2SeqLM",
    "presets",
    "samplers",
]
