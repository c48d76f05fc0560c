"""`compiled` on TensorFlow: a `tf.function`, which finds variables by itself."""

import tensorflow as tf


def compiled(function, model, sampler=None):
    """Compiles a function of tensors; see `uncompiled.compiled`."""
    return tf.function(function, autograph=False)
