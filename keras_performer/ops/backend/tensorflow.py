"""TensorFlow: `tf.while_loop` each way, a gradient under its own tape, `tf.function`.

TensorFlow's own gradient of a loop keeps every intermediate of every iteration, and
`keras.ops.scan`'s gradient does not compile under XLA. Here the backward pass is a
second loop, which runs each step again under a tape of its own. `tf.recompute_grad`
reads variables again: in a graph their updates may come before, and the gradient is
then that of other weights; `remat` has none to read.

Chunks and outputs go through the forward loop as rows of a matrix, and lists are told
their lengths at run time, where need be: so LiteRT converts the loop, which knows no
slices of more than five axes and no lists of unknown lengths.
"""

import contextlib
import contextvars
import functools
import math

import tensorflow as tf

from keras_performer.ops.backend import portable
from keras_performer.ops.backend.portable import cut

running_sums = portable.running_sums

_has_gradients = contextvars.ContextVar("has_gradients", default=True)


@contextlib.contextmanager
def without_gradients():
    """A context of functions that only answer; see `portable.without_gradients`.

    Else a saved graph has gradients too, of which those inside of loops are not saved:
    who loads it is warned of each.
    """
    token = _has_gradients.set(False)
    try:
        yield
    finally:
        _has_gradients.reset(token)


def chunked_scan(step, carry, chunks, shared):
    """Folds `step` over the chunks of a sequence; see `portable.chunked_scan`."""
    sizes = len(carry), len(chunks), len(shared)

    @_with_gradient
    def scan(*flat):
        carry, chunks, shared = cut(flat, sizes)
        last, outputs, carries = _forward(step, carry, chunks, shared)

        def gradient(*upstream):
            d_last, d_outputs = upstream[: sizes[0]], upstream[sizes[0] :]
            d_carry, d_chunks, d_shared = _backward(
                step, carries, chunks, shared, d_last, d_outputs
            )
            return (*d_carry, *d_chunks, *d_shared)

        return (*last, *outputs), gradient

    flat = [tf.convert_to_tensor(x) for x in (*carry, *chunks, *shared)]
    result = scan(*flat)
    return tuple(result[: sizes[0]]), tuple(result[sizes[0] :])


def remat(function, inputs):
    """Calls a function and keeps its inputs alone; see `portable.remat`."""

    @_with_gradient
    def call(*inputs):
        outputs = function(*inputs)

        def gradient(upstream, *_):
            with tf.GradientTape() as tape:
                again = (_after(upstream, inputs[0]), *inputs[1:])
                tape.watch(again)
                output = function(*again)[0]
            return tape.gradient(
                output,
                again,
                output_gradients=upstream,
                unconnected_gradients=tf.UnconnectedGradients.ZERO,
            )

        return outputs, gradient

    return call(*map(tf.convert_to_tensor, inputs))


def custom_gradient(function):
    """A function whose gradient is written out; see `portable.custom_gradient`."""
    return _with_gradient(function)


def softmax_with_constant_sum(logits):
    """Softmax without its sum's derivatives; see the form in `portable`."""
    results = []

    @_with_gradient
    def softmax(logits):
        # The result, not what it is computed by: its gradient is again this one.
        return tf.nn.softmax(logits), lambda upstream: upstream * results[0]

    results.append(softmax(logits))
    return results[0]


def compile_function(function, model, sampler=None):
    """Compiles a function of tensors; see `portable.compile_function`.

    A `tf.function` finds variables by itself. It is asked for the function of the
    shapes at hand: called with many, it warns of each, and here each is meant.
    """
    compiled = tf.function(function, autograph=False)

    def call(*arguments):
        return compiled.get_concrete_function(*arguments)(*arguments)

    return call


def take_rows(table, indices):
    """Takes rows of a table; see `portable.take_rows`.

    A variable that an optimizer has updated by rows is copied whenever it is read
    whole.
    """
    return tf.nn.embedding_lookup(table.value, indices)


def _with_gradient(function):
    """`tf.custom_gradient`, and the plain function where gradients are left out."""
    with_gradient = tf.custom_gradient(function)

    @functools.wraps(function)
    def call(*inputs):
        return with_gradient(*inputs) if _has_gradients.get() else function(*inputs)[0]

    return call


def _after(upstream, x):
    """`x`, in a way that it is not known before the gradient from above is.

    Else what is computed from it is taken for what was computed before, and is kept.
    XLA heeds no control dependencies; a product with zero it cannot do without, as it
    is not always zero: where a gradient is not finite, so is the one below it.
    """
    first = tf.reshape(upstream, [-1])[:1]
    return x + tf.cast(tf.reduce_sum(first) * 0, x.dtype)


def _forward(step, carry, chunks, shared):
    static_size = chunks[0].shape[0]
    size = tf.shape(chunks[0])[0] if static_size is None else static_size
    chunk_at = _chunk_at(chunks)
    carries = tuple(_array(c, size).write(0, c) for c in carry)
    # The first step stands outside of the loop: it tells the shapes of the outputs.
    carry, first = step(carry, chunk_at(0), shared)
    outputs = tuple(_array(x, size).write(0, x) for x in map(_flat, first))

    def body(i, carry, carries, outputs):
        carries = tuple(a.write(i, c) for a, c in zip(carries, carry, strict=True))
        carry, output = step(carry, chunk_at(i), shared)
        output = map(_flat, output)
        outputs = tuple(a.write(i, x) for a, x in zip(outputs, output, strict=True))
        return i + 1, carry, carries, outputs

    if static_size != 1:
        _, carry, carries, outputs = _loop(
            lambda i, *_: i < size, body, (1, carry, carries, outputs), static_size
        )
    outputs = tuple(
        tf.reshape(rows, (size, *_shape(x)))
        for rows, x in zip(_stacked(outputs), first, strict=True)
    )
    return carry, outputs, _stacked(carries)


def _backward(step, carries, chunks, shared, d_last, d_outputs):
    static_size = chunks[0].shape[0]
    size = tf.shape(chunks[0])[0] if static_size is None else static_size
    d_chunks = tuple(_array(x[0], size) for x in chunks)
    d_shared = tuple(tf.zeros_like(x) for x in shared)

    def body(i, d_carry, d_shared, d_chunks):
        arguments = (
            tuple(c[i] for c in carries),
            tuple(x[i] for x in chunks),
            shared,
        )
        with tf.GradientTape() as tape:
            tape.watch(arguments)
            results = step(*arguments)
        d_carry, d_chunk, d_step = tape.gradient(
            results,
            arguments,
            output_gradients=(d_carry, tuple(d[i] for d in d_outputs)),
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )
        d_shared = tuple(a + b for a, b in zip(d_shared, d_step, strict=True))
        d_chunks = tuple(a.write(i, d) for a, d in zip(d_chunks, d_chunk, strict=True))
        return i - 1, d_carry, d_shared, d_chunks

    state = (size - 1, tuple(d_last), d_shared, d_chunks)
    if static_size == 1:
        state = body(*state)
    else:
        state = _loop(lambda i, *_: i >= 0, body, state, static_size)
    _, d_carry, d_shared, d_chunks = state
    return d_carry, _stacked(d_chunks), d_shared


def _loop(condition, body, state, maximum_iterations):
    return tf.while_loop(
        condition,
        body,
        state,
        parallel_iterations=1,
        maximum_iterations=maximum_iterations,
    )


def _array(element, size):
    if tf.executing_eagerly() or element.shape.is_fully_defined():
        return tf.TensorArray(element.dtype, size=size, element_shape=element.shape)
    reserved = tf.raw_ops.TensorListReserve(
        element_shape=tf.shape(element), num_elements=size, element_dtype=element.dtype
    )
    return tf.TensorArray(element.dtype, flow=reserved)


def _stacked(arrays):
    return tuple(array.stack() for array in arrays)


def _chunk_at(chunks):
    """A function from an index to the chunks there."""
    shapes = [_shape(x)[1:] for x in chunks]
    matrices = [
        tf.reshape(x, (_shape(x)[0], math.prod(shape)))
        for x, shape in zip(chunks, shapes, strict=True)
    ]

    def chunk_at(i):
        return tuple(
            tf.reshape(matrix[i], shape)
            for matrix, shape in zip(matrices, shapes, strict=True)
        )

    return chunk_at


def _shape(x):
    """The lengths of the axes: ints, and scalar tensors where unknown."""
    dynamic = tf.shape(x)
    return tuple(dynamic[i] if n is None else n for i, n in enumerate(x.shape))


def _flat(x):
    return tf.reshape(x, [-1])
