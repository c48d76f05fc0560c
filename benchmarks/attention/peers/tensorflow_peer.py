"""What the peers on TensorFlow share."""

import os
from abc import abstractmethod

import tensorflow as tf

from benchmarks.attention.peers.peer import FEATURES, HEADS, Peer
from benchmarks.attention.peers.rates import batched_shapes, best_rate, square_size

THREADS = int(os.environ.get("OMP_NUM_THREADS", os.cpu_count()))
tf.config.threading.set_intra_op_parallelism_threads(THREADS)
tf.config.threading.set_inter_op_parallelism_threads(THREADS)


class TensorFlowPeer(Peer):
    """A peer whose passes are `tf.function`s, traced for each shape."""

    @abstractmethod
    def attend(self, query, key, value):
        """Returns the output; traced."""

    def differentiate(self, query, key, value, output_gradient):
        """Returns the output and the three gradients; traced."""
        inputs = (query, key, value)
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            output = self.attend(*inputs)
        return output, tape.gradient(output, inputs, output_gradients=output_gradient)

    def forward(self):
        return tf.function(self.attend)

    def forward_backward(self):
        return tf.function(self.differentiate)

    def tensor(self, array):
        return tf.constant(array)

    def array(self, tensor):
        return tensor.numpy()

    def limits(self):
        product, exponential = tf.function(tf.matmul), tf.function(tf.exp)
        size = square_size()
        square = tf.random.normal((size, size))
        left, right = (tf.random.normal(shape) for shape in batched_shapes())
        values = tf.random.normal((HEADS, 1024, FEATURES))
        return {
            "square product": best_rate(lambda: product(square, square), 2 * size**3),
            "batched product": best_rate(
                lambda: product(left, right),
                2 * left.shape.num_elements() * right.shape[-1],
            ),
            "exponentials": best_rate(
                lambda: exponential(values), values.shape.num_elements()
            ),
        }

    def version(self):
        return f"tensorflow {tf.__version__}"
