"""This project: random features computed again in the backward pass."""

import functools

import keras
import numpy as np
import tensorflow as tf

import keras_performer
from benchmarks.attention.peers.peer import HEAD_DIM, HEADS, positive_features
from benchmarks.attention.peers.tensorflow_peer import TensorFlowPeer
from keras_performer import feature_maps, ops
from keras_performer.ops import projections


class Ours(TensorFlowPeer):
    """`keras_performer.ops` with one of its positive maps of the softmax kernel.

    Args:
        form: `"bidirectional"` or `"causal"`.
        feature_map: `"softmax"` (FAVOR+), `"favor_plus_plus"`, `"favor_sharp"`,
            `"sderf"` or `"aderf"`.
        projection: Rows of the projection, such as `"orthogonal"`.
        **options: As for `Peer`.
    """

    def __init__(self, form, feature_map="softmax", projection="orthogonal", **options):
        super().__init__(form, **options)
        self.attention = {
            "bidirectional": ops.linear_attention,
            "causal": functools.partial(ops.linear_attention, causal=True),
        }[form]
        self.feature_map = feature_maps.get(feature_map)
        drawn = self.feature_map.draw(
            projections.get(projection), self.seed, self.features, HEAD_DIM
        )
        self.parameters = {}
        self.set(self.feature_map.initial_parameters(HEADS, HEAD_DIM, drawn))

    def set(self, parameters):
        """Sets some of the map's parameters, as float32 tensors."""
        for name, parameter in parameters.items():
            array = keras.ops.convert_to_numpy(parameter)
            self.parameters[name] = tf.constant(array, "float32")

    @property
    def adapts(self):
        return self.feature_map.adapts

    def adapt(self, query, key):
        """Fits the map to the moments of arrays of shape (B, T, H, D)."""
        moments = feature_maps.Moments.of(query, key)
        self.set(self.feature_map.adapted_parameters(moments))

    def attend(self, query, key, value):
        return self.attention(query, key, value, self.feature_map, self.parameters)

    def constants(self, query, key, rows, head):
        """Transforms and curvature of the maps that adapt, in float64."""
        constants = {"curvature": np.zeros(HEAD_DIM)}
        for side in ("query", "key"):
            constants[f"{side}_transform"] = np.eye(HEAD_DIM)
        for name in constants.keys() & self.parameters.keys():
            constants[name] = self.parameters[name][head].numpy().astype(np.float64)
        return constants

    def query_features(self, x, constants):
        return self.features_of(x, constants, constants["query_transform"])

    def key_features(self, x, constants):
        return self.features_of(x, constants, constants["key_transform"])

    def features_of(self, x, constants, transform):
        projection = self.parameters["projection"].numpy().astype(np.float64)
        return positive_features(x @ transform.T, projection, constants["curvature"])

    def version(self):
        return f"keras-performer {keras_performer.__version__}, {super().version()}"
