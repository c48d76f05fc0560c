"""This project: FAVOR+ with features computed again in the backward pass."""

import functools

import keras
import numpy as np
import tensorflow as tf

import keras_performer
from benchmarks.attention.peers.peer import FEATURES, HEAD_DIM, positive_features
from benchmarks.attention.peers.tensorflow_peer import TensorFlowPeer
from keras_performer import feature_maps, ops


class Ours(TensorFlowPeer):
    """`keras_performer.ops` with the feature map `"softmax"`."""

    def __init__(self, form):
        super().__init__(form)
        self.attention = {
            "bidirectional": ops.linear_attention,
            "causal": functools.partial(ops.linear_attention, causal=True),
        }[form]
        self.feature_map = feature_maps.get("softmax")
        projection = ops.projections.orthogonal(1, FEATURES, HEAD_DIM)
        self.projection = tf.constant(keras.ops.convert_to_numpy(projection))

    def attend(self, query, key, value):
        parameters = {"projection": self.projection}
        return self.attention(query, key, value, self.feature_map, parameters)

    def query_features(self, x, constants):
        return positive_features(x, self.projection.numpy().astype(np.float64))

    key_features = query_features

    def version(self):
        return f"keras-performer {keras_performer.__version__}, {super().version()}"
