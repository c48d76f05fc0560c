"""The TensorFlow Model Garden's `KernelAttention`."""

import importlib.metadata

import numpy as np
from official.nlp.modeling.layers import kernel_attention

from benchmarks.attention.peers.peer import FEATURES, HEAD_DIM, HEADS, positive_features
from benchmarks.attention.peers.tensorflow_peer import TensorFlowPeer


class KernelAttention(TensorFlowPeer):
    """The layer's attention between its dense projections, with `"exp"` features."""

    def __init__(self, form):
        super().__init__(form)
        self.layer = kernel_attention.KernelAttention(
            feature_transform="exp",
            num_random_features=FEATURES,
            seed=1,
            num_heads=HEADS,
            key_dim=HEAD_DIM,
        )

    def attend(self, query, key, value):
        return self.layer._compute_attention(query, key, value, "exp", False)

    def query_features(self, x, constants):
        projection = self.layer._projection_matrix.numpy().astype(np.float64)
        # The published shift is that of all heads; it matters in the bias alone.
        exponents = x * x.shape[-1] ** -0.25 @ projection.T
        return positive_features(x, projection) * np.exp(-exponents.max())

    key_features = query_features

    def denominator_bias(self, query, constants):
        return 1e-6

    def version(self):
        own = importlib.metadata.version("tf-models-official")
        return f"tf-models-official {own}, {super().version()}"
