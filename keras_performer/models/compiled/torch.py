"""`compiled` on PyTorch: the function as it is, without gradients."""

import torch


def compiled(function, model, sampler=None):
    """Runs a function of tensors without gradients; see `uncompiled.compiled`."""
    return torch.no_grad()(function)
