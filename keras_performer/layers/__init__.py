"""Floor 2: Keras layers."""

from keras_performer.layers.exact_attention import ExactAttention
from keras_performer.layers.fast_attention import FastAttention
from keras_performer.layers.masked_average_pooling import MaskedAveragePooling
from keras_performer.layers.performer_decoder import PerformerDecoder
from keras_performer.layers.performer_encoder import PerformerEncoder
from keras_performer.layers.sinusoidal_positions import SinusoidalPositions

__all__ = [
    "ExactAttention",
    "FastAttention",
    "MaskedAveragePooling",
    "PerformerDecoder",
    "PerformerEncoder",
    "SinusoidalPositions",
]
