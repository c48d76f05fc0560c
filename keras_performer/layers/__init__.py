"""Keras layers."""

from keras_performer.layers.exact_attention import ExactAttention
from keras_performer.layers.fast_attention import FastAttention
from keras_performer.layers.hashed_ngrams import HashedNgrams
from keras_performer.layers.masked_average_pooling import MaskedAveragePooling
from keras_performer.layers.performer_decoder import PerformerDecoder
from keras_performer.layers.performer_encoder import PerformerEncoder
from keras_performer.layers.position_embedding import PositionEmbedding
from keras_performer.layers.short_convolution import ShortConvolution
from keras_performer.layers.sine_position_encoding import SinePositionEncoding
from keras_performer.layers.stream_state import BlockState, StreamState
from keras_performer.renamed import renamed_attributes

__all__ = [
    "BlockState",
    "ExactAttention",
    "FastAttention",
    "HashedNgrams",
    "MaskedAveragePooling",
    "PerformerDecoder",
    "PerformerEncoder",
    "PositionEmbedding",
    "ShortConvolution",
    "SinePositionEncoding",
    "StreamState",
]

__getattr__ = renamed_attributes(
    __name__, globals(), {"SinusoidalPositions": "SinePositionEncoding"}
)


def __dir__() -> list[str]:
    return sorted(__all__)
