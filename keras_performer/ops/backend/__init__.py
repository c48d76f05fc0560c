"""All that knows its backend: one file for each, and the one door to `keras.src`.

`portable.py` is the common form of each function and has its documentation; it is for
backends without a form of their own, and the others are tested against it.
"""

import keras

if keras.backend.backend() == "tensorflow":
    from keras_performer.ops.backend import tensorflow as backend
elif keras.backend.backend() == "jax":
    from keras_performer.ops.backend import jax as backend
elif keras.backend.backend() == "torch":
    from keras_performer.ops.backend import torch as backend
else:
    from keras_performer.ops.backend import portable as backend

chunked_scan = backend.chunked_scan
compile_function = backend.compile_function
custom_gradient = backend.custom_gradient
remat = backend.remat
running_sums = backend.running_sums
softmax_with_constant_sum = backend.softmax_with_constant_sum
take_rows = backend.take_rows
without_gradients = backend.without_gradients

__all__ = [
    "chunked_scan",
    "compile_function",
    "custom_gradient",
    "remat",
    "running_sums",
    "softmax_with_constant_sum",
    "take_rows",
    "without_gradients",
]
