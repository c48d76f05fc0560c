"""The core of `keras.layers.MultiHeadAttention`: exact softmax attention."""

import keras

from benchmarks.attention.peers.peer import ExactPeer
from benchmarks.attention.peers.tensorflow_peer import TensorFlowPeer


class KerasExact(TensorFlowPeer, ExactPeer):
    """`keras.ops.dot_product_attention`, which the layer calls without dropout."""

    def attend(self, query, key, value):
        return keras.ops.dot_product_attention(
            query, key, value, is_causal=self.form == "causal"
        )

    def version(self):
        return f"keras {keras.__version__}, {super().version()}"
