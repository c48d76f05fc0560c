"""`recompute` on TensorFlow: a gradient that runs the function under its own tape.

`tf.recompute_grad` reads variables anew: in a graph their updates may come before, and
the gradient is then that of other weights. Here there are none to read.
"""

import tensorflow as tf


def recompute(function, inputs):
    """Calls a function and keeps its inputs alone; see `kept.recompute`."""

    @tf.custom_gradient
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


def _after(upstream, x):
    """`x`, in a way that it is not known before the gradient from above is.

    Else what is computed from it is taken for what was computed before, and is kept.
    XLA heeds no control dependencies; a product with zero it cannot do without, as it
    is not always zero: where a gradient is not finite, so is the one below it.
    """
    first = tf.reshape(upstream, [-1])[:1]
    return x + tf.cast(tf.reduce_sum(first) * 0, x.dtype)
