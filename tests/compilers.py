"""What turns a function into a graph, or compiles it, on the backend that runs."""

import keras
import pytest


def wrappers():
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return [tf.function, tf.function(jit_compile=True)]
    if keras.backend.backend() == "jax":
        import jax

        return [jax.jit]
    pytest.skip("no compiler for this backend")
