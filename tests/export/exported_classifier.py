"""A small classifier for the tests of the export, and what Keras says it answers."""

import keras
import tensorflow as tf

from keras_performer.models import PerformerBackbone, PerformerTextClassifier

LABELS = ("log", "novel", "poem")
TEXTS = ("", "a", "It was a dark and stormy night; " * 40, "ünïcödé ☃ 書")
VOCABULARY = ["[PAD]", "[UNK]", *"abcdefghijklmnopqrstuvwxyz.,;ABI"]
VOCABULARY += ["##" + piece for piece in "abcdefghijklmnopqrstuvwxyz"]


def classifier(vocabulary_size):
    backbone = PerformerBackbone(
        vocabulary_size=vocabulary_size,
        num_layers=1,
        num_heads=2,
        hidden_dim=16,
        intermediate_dim=32,
        seed=7,
    )
    model = PerformerTextClassifier(backbone, len(LABELS))
    # Larger than at the start of a training, so that texts differ in their answers.
    for weight in model.trainable_weights:
        noise = keras.random.normal(weight.shape, seed=len(weight.path))
        weight.assign(weight + 0.5 * noise)
    return model


def expected(exported):
    """The probabilities that Keras itself gives for each text alone."""
    model, tokenizer, _ = exported
    rows = [model(tokenizer(tf.constant([text]))) for text in TEXTS]
    return keras.ops.convert_to_numpy(keras.ops.concatenate(rows))
