"""What the peers on PyTorch share."""

import os
from abc import abstractmethod

import torch

from benchmarks.attention.peers.peer import FEATURES, HEADS, Peer
from benchmarks.attention.peers.rates import batched_shapes, best_rate, square_size

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


class TorchPeer(Peer):
    """A peer of tensors of shape (1, H, T, D)."""

    @abstractmethod
    def attend(self, query, key, value):
        """Returns the output."""

    def forward(self):
        def run(query, key, value):
            with torch.no_grad():
                return self.attend(query, key, value)

        return run

    def forward_backward(self):
        def run(query, key, value, output_gradient):
            inputs = [x.requires_grad_() for x in (query, key, value)]
            output = self.attend(*inputs)
            return output.detach(), torch.autograd.grad(output, inputs, output_gradient)

        return run

    def tensor(self, array):
        return torch.from_numpy(array).transpose(1, 2).contiguous()

    def array(self, tensor):
        return tensor.transpose(1, 2).numpy()

    def limits(self):
        size = square_size()
        square = torch.randn(size, size)
        left, right = (torch.randn(shape) for shape in batched_shapes())
        values = torch.randn(HEADS, 1024, FEATURES)
        return {
            "square product": best_rate(lambda: square @ square, 2 * size**3),
            "batched product": best_rate(
                lambda: left @ right, 2 * left.numel() * right.shape[-1]
            ),
            "exponentials": best_rate(values.exp, values.numel()),
        }

    def version(self):
        return f"torch {torch.__version__}"
