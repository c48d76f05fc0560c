"""performer-pytorch's `FastAttention`."""

import importlib.metadata
import importlib.util

import numpy as np
import torch
from performer_pytorch import performer_pytorch

from benchmarks.attention.peers.peer import HEAD_DIM
from benchmarks.attention.peers.torch_peer import TorchPeer

# The module takes fast-transformers' product only where it finds the one for CUDA,
# though the one for CPU serves as well; without either, the product in PyTorch.
HAS_PRODUCT = importlib.util.find_spec("fast_transformers") is not None
CAUSAL_PRODUCT = (
    performer_pytorch.causal_linear_attention
    if HAS_PRODUCT
    else performer_pytorch.causal_linear_attention_noncuda
)


class PerformerPytorch(TorchPeer):
    """The module with its softmax kernel, causal with fast-transformers' product."""

    def __init__(self, form, **options):
        super().__init__(form, **options)
        torch.manual_seed(self.seed)
        self.attention = performer_pytorch.FastAttention(
            HEAD_DIM, self.features, causal=form == "causal"
        )
        if form == "causal":
            self.attention.causal_linear_fn = CAUSAL_PRODUCT

    def attend(self, query, key, value):
        return self.attention(query, key, value)

    def constants(self, query, key, rows, head):
        queries, keys = self.logits(query[rows, head]), self.logits(key[:, head])
        return {"query": queries.max(-1, keepdims=True), "key": keys.max()}

    def query_features(self, x, constants):
        return self.scaled_exponentials(x, constants["query"])

    def key_features(self, x, constants):
        return self.scaled_exponentials(x, constants["key"])

    def scaled_exponentials(self, x, largest):
        half_squared_norm = 0.5 * x.shape[-1] ** -0.5 * np.square(x).sum(-1)
        exponent = self.logits(x) - half_squared_norm[:, None] - largest
        return (np.exp(exponent) + 1e-4) / np.sqrt(self.features)

    def logits(self, x):
        projection = self.attention.projection_matrix.numpy().astype(np.float64)
        return x * x.shape[-1] ** -0.25 @ projection.T

    def denominator_bias(self, query, constants):
        if self.form == "bidirectional":
            return 0.0
        return 1e-6 * self.query_features(query, constants).sum(-1)

    def version(self):
        own = importlib.metadata.version("performer-pytorch")
        product = "with" if HAS_PRODUCT else "without"
        return (
            f"performer-pytorch {own} {product} fast-transformers' causal product, "
            f"{super().version()}"
        )
