"""PyTorch's scaled dot-product attention: exact, with its flash kernel for CPU."""

from torch.nn import functional

from benchmarks.attention.peers.peer import ExactPeer
from benchmarks.attention.peers.torch_peer import TorchPeer


class TorchExact(TorchPeer, ExactPeer):
    """`torch.nn.functional.scaled_dot_product_attention`."""

    def attend(self, query, key, value):
        return functional.scaled_dot_product_attention(
            query, key, value, is_causal=self.form == "causal"
        )
