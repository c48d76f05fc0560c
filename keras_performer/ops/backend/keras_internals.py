"""The one door to `keras.src`: what Keras has and does not export."""

import sys

import keras
from keras.src.backend import AutocastScope, get_keras_mask, set_keras_mask
from keras.src.utils.backend_utils import in_tf_graph
from keras.src.utils.jax_utils import is_in_jax_tracing_scope

__all__ = [
    "AutocastScope",
    "get_keras_mask",
    "is_traced",
    "set_keras_mask",
]


def is_traced(x):
    """Whether a tensor has its value when a traced function runs, and not now."""
    if keras.backend.backend() == "torch":
        torch = sys.modules["torch"]
        return torch.jit.is_tracing() or torch.compiler.is_compiling()
    return in_tf_graph() or is_in_jax_tracing_scope(x)
