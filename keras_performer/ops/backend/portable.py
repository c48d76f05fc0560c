"""The common form of what each backend has: in plain Python, for tests and inference.

The graph of its loop grows with the number of chunks, and gradients keep what every
chunk computed; the forms of the backends beside it do neither.
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


def cut(tensors, sizes):
    """Cuts a flat sequence of tensors into tuples of the given sizes."""
    tensors = iter(tensors)
    return tuple(tuple(next(tensors) for _ in range(size)) for size in sizes)


def remat(function, inputs):
    """Calls a function of which the backward pass keeps the inputs alone.

    What happens inside is computed again when its gradient is asked for: memory for
    time. It is exact if the function is pure: it must change no variable and read none
    that is trained, and randomness must come from its inputs, or from tensors that it
    closes over.

    Args:
        function: Function of tensors that returns a tuple of tensors, of which the
            first has a gradient and the others have none.
        inputs: Tuple of floating-point tensors, of which the first is that on which
            most of the function depends.

    Returns:
        What the function returns.
    """
    return function(*inputs)


def compile_function(function, model, sampler=None):
    """Compiles a function of tensors, once for each combination of their shapes.

    Args:
        function: Function of pytrees of tensors. It may read the weights of the model,
            and draw from the sampler's seeds.
        model: A `keras.Model`.
        sampler: An object with `variables`, its seeds, or `None`.

    Returns:
        A function of the same arguments and results.
    """
    return function
