"""A model with two attention layers, one causal, and batches for it."""

import keras
import numpy as np

from keras_performer.layers import FastAttention

B, T, F, H, D = 2, 13, 8, 2, 4


def small_model(feature_map="softmax", causal=False, mask=False, **options):
    inputs = keras.Input((None, F))
    x = keras.layers.Masking()(inputs) if mask else inputs
    first = FastAttention(H, D, feature_map=feature_map, seed=1, **options)
    second = FastAttention(H, D, feature_map="relu", seed=2)
    x = keras.layers.Add()([x, first(x, x, use_causal_mask=causal)])
    return keras.Model(inputs, second(x, x))


def batches(number=2, length=T, scale=1.0):
    generator = np.random.default_rng(0)
    return [
        (scale * generator.standard_normal((B, length, F))).astype("float32")
        for _ in range(number)
    ]
