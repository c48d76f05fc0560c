"""The common form of what each backend has: in plain Python, for tests and inference.

The graph of its loop grows with the number of chunks, and gradients keep what every
chunk computed; the forms of the backends beside it do neither.
"""

import contextlib
import functools

from keras import ops


def chunked_scan(step, carry, chunks, shared):
    """Folds `step` over the chunks of a sequence.

    `carry, outputs[i] = step(carry, chunks[i], shared)`, for each chunk in order. The
    gradient with respect to `carry`, `chunks` and `shared` is exact and needs, beside
    these arguments, only the carries between chunks: what happens inside a step is
    computed again in the backward pass. Derivatives of the gradient are exact too, and
    may keep what every step computed.

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


def without_gradients():
    """A context in which what is computed or traced needs no gradient.

    Values are the same. Gradients may be missing, or those that the backend finds.
    """
    return contextlib.nullcontext()


def custom_gradient(function):
    """A function of one tensor whose gradient is written out.

    It must be the true gradient, in a form that takes less time than the one which a
    backend finds. Derivatives of higher order are those of the gradient and of what
    it uses of the function.

    Args:
        function: Function of a tensor that returns its value and a function from the
            gradient of the value to the gradient of the tensor.

    Returns:
        The function of the tensor that returns its value.

    Example:

    >>> square = custom_gradient(lambda x: (x * x, lambda upstream: 2 * x * upstream))
    >>> float(square(ops.convert_to_tensor(3.0)))
    9.0
    """

    @functools.wraps(function)
    def value(x):
        return function(x)[0]

    return value


def running_sums(x, axis):
    """Cumulative sums along an axis, in the tensor's dtype.

    Args:
        x: Tensor of floats.
        axis: An int.

    Returns:
        Tensor of the same shape and dtype.
    """
    return ops.cumsum(x, axis=axis)


def softmax_with_constant_sum(logits):
    """`exp(l − c)` over the last axis, with `c = log Σ exp(l)` as a constant.

    The derivatives of all orders take c for a constant: the gradient is the product of
    the softmax and the one from above, the next one that of this product. They are
    right wherever c cancels in what is computed of the softmax, which then has the same
    derivatives at any c.

    Args:
        logits: Tensor of shape (..., M).

    Returns:
        Tensor of shape (..., M).
    """
    highest = ops.max(logits, axis=-1, keepdims=True, initial=float("-inf"))
    values = ops.exp(logits - ops.stop_gradient(highest))
    return values / ops.stop_gradient(ops.sum(values, axis=-1, keepdims=True))


def take_rows(table, indices):
    """Takes rows of a table, without a copy of the table where the backend can.

    Args:
        table: `keras.Variable` of shape (N, D).
        indices: Integer tensor, each from 0 to N - 1.

    Returns:
        Tensor of shape `(*indices.shape, D)`, in the table's dtype.
    """
    return ops.take(table, indices, axis=0)
