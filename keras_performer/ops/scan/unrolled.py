"""The common form of `chunked_scan`: an unrolled Python loop, for tests and inference.

Its graph grows with the number of chunks and its gradient keeps what every chunk
computed; the forms of the backends beside it do neither.
"""

from keras import ops


def chunked_scan(step, carry, chunks, shared):
    """Folds `step` over the chunks of a sequence.

    `carry, outputs[i] = step(carry, chunks[i], shared)`, for each chunk in order. The
    gradient with respect to `carry`, `chunks` and `shared` is exact and needs, beside
    these arguments, only the carries between chunks: what happens inside a step is
    computed again in the backward pass.

    Args:
        step: Pure function `(carry, chunk, shared) -> (carry, output)`. It must not
            close over tensors: whatever it needs is in `shared`.
        carry: Tuple of tensors, of the same shapes and dtypes before and after a step.
        chunks: Tuple of tensors of shape (N, ...), with N the number of chunks.
        shared: Tuple of tensors that every step sees.

    Returns:
        The last carry, and the outputs as a tuple of tensors of shape (N, ...).
    """
    outputs = []
    for i in range(chunks[0].shape[0]):
        carry, output = step(carry, tuple(x[i] for x in chunks), shared)
        outputs.append(output)
    return carry, tuple(ops.stack(parts) for parts in zip(*outputs, strict=True))
