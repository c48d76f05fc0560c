"""Floor 3: models, each a page: layers, functional model, configuration."""

from keras_performer.models import samplers
from keras_performer.models.document_classifier import DocumentClassifier
from keras_performer.models.performer_backbone import PerformerBackbone
from keras_performer.models.performer_causal_lm import PerformerCausalLM

__all__ = ["DocumentClassifier", "PerformerBackbone", "PerformerCausalLM", "samplers"]
