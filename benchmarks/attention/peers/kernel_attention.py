"""The TensorFlow Model Garden's `KernelAttention`."""

import importlib.metadata

import numpy as np
from official.nlp.modeling.layers import kernel_attention

from benchmarks.attention.peers.peer import HEAD_DIM, HEADS, positive_features
from benchmarks.attention.peers.tensorflow_peer import TensorFlowPeer


class KernelAttention(TensorFlowPeer):
    """The layer's attention between its dense projections, with `"exp"` features."""

    differentiates_constants = True

    def __init__(self, form, **options):
        super().__init__(form, **options)
        self.layer = kernel_attention.KernelAttention(
            feature_transform="exp",
            num_random_features=self.features,
            seed=self.seed,
            num_heads=HEADS,
            key_dim=HEAD_DIM,
        )

    def attend(self, query, key, value):
        return self.layer._compute_attention(query, key, value, "exp", False)

    @property
    def projection(self):
        return self.layer._projection_matrix.numpy().astype(np.float64)

    def constants(self, query, key, rows, head):
        """What the logits of all positions and heads are shifted by."""
        scale = HEAD_DIM**-0.25
        return {
            side: np.max(x * scale @ self.projection.T)
            for side, x in (("query", query), ("key", key))
        }

    def query_features(self, x, constants):
        return positive_features(x, self.projection) * np.exp(-constants["query"])

    def key_features(self, x, constants):
        return positive_features(x, self.projection) * np.exp(-constants["key"])

    def denominator_bias(self, query, constants):
        return 1e-6

    def version(self):
        own = importlib.metadata.version("tf-models-official")
        return f"tf-models-official {own}, {super().version()}"
