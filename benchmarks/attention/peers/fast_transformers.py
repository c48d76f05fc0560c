"""pytorch-fast-transformers' linear attention with its FAVOR+ feature map."""

import importlib.metadata

import numpy as np
import torch
from fast_transformers.attention import CausalLinearAttention, LinearAttention
from fast_transformers.feature_maps import Favor
from fast_transformers.masking import LengthMask, TriangularCausalMask

from benchmarks.attention.peers.peer import HEAD_DIM
from benchmarks.attention.peers.torch_peer import TorchPeer


class FastTransformers(TorchPeer):
    """Its modules on tensors of shape (1, T, H, D); features are hyperbolic.

    Both signs of half as many projections make the features, as published. They are
    not drawn again at each call, which costs little but would leave nothing to check.
    """

    def __init__(self, form, **options):
        super().__init__(form, **options)
        torch.manual_seed(self.seed)
        module = {
            "bidirectional": LinearAttention,
            "causal": CausalLinearAttention,
        }[form]
        favor = Favor.factory(n_dims=self.features, deterministic_eval=True)
        self.module = module(HEAD_DIM, feature_map=favor)
        self.module.feature_map.new_feature_map(torch.device("cpu"))
        self.module.eval()

    def attend(self, query, key, value):
        length = query.shape[1]
        # Not a FullMask, which would take T² bytes.
        lengths = LengthMask(torch.tensor([length]))
        mask = TriangularCausalMask(length) if self.form == "causal" else lengths
        return self.module(query, key, value, mask, lengths, lengths)

    def tensor(self, array):
        return torch.from_numpy(array).clone()

    def array(self, tensor):
        return tensor.numpy()

    def query_features(self, x, constants):
        projection = self.module.feature_map.omega.numpy().astype(np.float64).T
        x = x * x.shape[-1] ** -0.25
        exponent = x @ projection.T
        exponent = np.concatenate([exponent, -exponent], axis=-1)
        exponent -= 0.5 * np.square(x).sum(-1, keepdims=True)
        return np.exp(exponent) / np.sqrt(self.features)

    key_features = query_features

    def denominator_bias(self, query, constants):
        return 1e-6

    def version(self):
        own = importlib.metadata.version("pytorch-fast-transformers")
        return f"pytorch-fast-transformers {own}, {super().version()}"
