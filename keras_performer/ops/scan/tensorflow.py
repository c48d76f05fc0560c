"""`chunked_scan` on TensorFlow: `tf.while_loop` in both directions, with recomputation.

TensorFlow's own gradient of a loop keeps every intermediate of every iteration, and
`keras.ops.scan`'s gradient does not compile under XLA. Here the backward pass is a
second loop, which runs each step again under a tape of its own.
"""

import tensorflow as tf


def chunked_scan(step, carry, chunks, shared):
    """Folds `step` over the chunks of a sequence; see `unrolled.chunked_scan`."""
    num_carries, num_chunks = len(carry), len(chunks)

    def split(flat):
        flat = tuple(flat)
        return (
            flat[:num_carries],
            flat[num_carries : num_carries + num_chunks],
            flat[num_carries + num_chunks :],
        )

    @tf.custom_gradient
    def scan(*flat):
        carry, chunks, shared = split(flat)
        last, outputs, carries = _forward(step, carry, chunks, shared)

        def gradient(*upstream):
            d_last, d_outputs = upstream[:num_carries], upstream[num_carries:]
            d_carry, d_chunks, d_shared = _backward(
                step, carries, chunks, shared, d_last, d_outputs
            )
            return (*d_carry, *d_chunks, *d_shared)

        return (*last, *outputs), gradient

    flat = [tf.convert_to_tensor(x) for x in (*carry, *chunks, *shared)]
    result = scan(*flat)
    return tuple(result[:num_carries]), tuple(result[num_carries:])


def _forward(step, carry, chunks, shared):
    static_size = chunks[0].shape[0]
    size = tf.shape(chunks[0])[0] if static_size is None else static_size
    carries = tuple(_array(c, size).write(0, c) for c in carry)
    # The first step stands outside of the loop: it tells the shapes of the outputs.
    carry, output = step(carry, tuple(x[0] for x in chunks), shared)
    outputs = tuple(_array(x, size).write(0, x) for x in output)

    def body(i, carry, carries, outputs):
        carries = tuple(a.write(i, c) for a, c in zip(carries, carry, strict=True))
        carry, output = step(carry, tuple(x[i] for x in chunks), shared)
        outputs = tuple(a.write(i, x) for a, x in zip(outputs, output, strict=True))
        return i + 1, carry, carries, outputs

    if static_size != 1:
        _, carry, carries, outputs = _loop(
            lambda i, *_: i < size, body, (1, carry, carries, outputs), static_size
        )
    return carry, _stacked(outputs), _stacked(carries)


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
    return tf.TensorArray(element.dtype, size=size, element_shape=element.shape)


def _stacked(arrays):
    return tuple(array.stack() for array in arrays)
