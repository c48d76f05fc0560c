"""`chunked_scan` on PyTorch: a loop over checkpointed steps."""

import torch
from torch.utils.checkpoint import checkpoint


# Left as it is by `torch.compile`, which does not support custom gradients inside of
# a checkpoint.
@torch.compiler.disable
def chunked_scan(step, carry, chunks, shared):
    """Folds `step` over the chunks of a sequence; see `unrolled.chunked_scan`."""
    outputs = []
    for i in range(chunks[0].shape[0]):
        chunk = tuple(x[i] for x in chunks)
        carry, output = checkpoint(
            step, carry, chunk, shared, use_reentrant=False, preserve_rng_state=False
        )
        outputs.append(output)
    return carry, tuple(torch.stack(parts) for parts in zip(*outputs, strict=True))
