"""A classifier whose every answer is known: which of `a` and `b` a text has more of."""

import types

import keras
import numpy as np

from keras_performer.layers import MaskedAveragePooling
from keras_performer.text import ByteTokenizer

LABELS = ("a", "b")
SCALE = 8.0


def letter_classifier():
    """A model of bytes with what `export_classifier` asks of a classifier."""
    ids = keras.Input((None,), dtype="int32")
    embedding = keras.layers.Embedding(257, 2, mask_zero=True)
    shares = MaskedAveragePooling()(embedding(ids))
    softmax = keras.layers.Dense(2, "softmax", kernel_initializer="identity")
    model = keras.Model(ids, softmax(shares))
    weights = np.zeros((257, 2), "float32")
    for column, letter in enumerate("ab"):
        [[token_id]] = ByteTokenizer()([letter]).numpy()
        weights[token_id, column] = SCALE
    embedding.set_weights([weights])
    model.embedder = keras.Model(ids, shares)
    model.backbone = types.SimpleNamespace(vocabulary_size=257)
    model.num_classes = 2
    return model


def probability_of_a(text):
    """What the model answers for a text."""
    logit = SCALE * (text.count("a") - text.count("b")) / max(len(text.encode()), 1)
    return 1 / (1 + np.exp(-logit))
