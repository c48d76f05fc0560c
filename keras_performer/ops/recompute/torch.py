"""`recompute` on PyTorch: `torch.utils.checkpoint`."""

from torch.utils.checkpoint import checkpoint


def recompute(function, inputs):
    """Calls a function and keeps its inputs alone; see `kept.recompute`."""
    return checkpoint(function, *inputs, use_reentrant=False)
