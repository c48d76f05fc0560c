"""Arrays in, arrays out: values and gradients on whichever backend runs."""

import functools

import keras
import numpy as np
from keras import ops

BACKEND = keras.backend.backend()

if BACKEND == "tensorflow":
    import tensorflow as tf
elif BACKEND == "jax":
    import jax
elif BACKEND == "torch":
    import torch


def value_and_gradients(function, arguments, upstream):
    """Returns a function's value, and the gradients of `sum(upstream * value)`.

    Args:
        function: Function of tensors that returns a tensor.
        arguments: List of arrays.
        upstream: Array of the value's shape.

    Returns:
        The value and a list with one gradient for each argument, NumPy arrays.
    """
    tensors = [to_tensor(x) for x in arguments]
    value, gradients = _BY_BACKEND[BACKEND](function, tensors, to_tensor(upstream))
    return to_numpy(value), [to_numpy(x) for x in gradients]


def hessian_vector_products(function, arguments, upstream, directions):
    """Returns the gradients of `Σ direction · gradient`, in reverse mode twice.

    Args:
        function: Function of tensors that returns a tensor.
        arguments: List of arrays.
        upstream: Array of the value's shape.
        directions: List of arrays, one of the shape of each argument.

    Returns:
        A list with one NumPy array for each argument.
    """
    tensors, directions = ([to_tensor(x) for x in xs] for xs in (arguments, directions))
    products = _PRODUCTS[BACKEND](function, tensors, to_tensor(upstream), directions)
    return [to_numpy(x) for x in products]


def to_tensor(x):
    """Returns an array as a tensor of the same dtype, float64 too."""
    return ops.convert_to_tensor(x, dtype=str(x.dtype))


def on_arrays(function):
    """A function of tensors as one that takes arrays as well, dtypes kept."""

    def convert(x):
        return to_tensor(x) if isinstance(x, np.ndarray) else x

    @functools.wraps(function)
    def converted(*arguments, **options):
        arguments, options = keras.tree.map_structure(convert, (arguments, options))
        return function(*arguments, **options)

    return converted


def to_numpy(x):
    """Returns a tensor as a NumPy array, half precision as float32."""
    if keras.backend.standardize_dtype(x.dtype) in ("bfloat16", "float16"):
        x = ops.cast(x, "float32")
    return ops.convert_to_numpy(x)


def _tensorflow(function, tensors, upstream):
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        value = function(*tensors)
    return value, tape.gradient(
        value, tensors, upstream, unconnected_gradients=tf.UnconnectedGradients.ZERO
    )


def _jax(function, tensors, upstream):
    # Compiled at once, which takes less time than each operation; at the tests' level 0
    # some gradients of whole functions are not finite that are so at level 1.
    compiled = jax.jit(
        functools.partial(_jax_gradients, function),
        compiler_options={"xla_backend_optimization_level": 1},
    )
    return compiled(tensors, upstream)


def _jax_gradients(function, tensors, upstream):
    value, pull_back = jax.vjp(function, *tensors)
    return value, pull_back(upstream)


def _torch(function, tensors, upstream):
    tensors = [x.detach().clone().requires_grad_() for x in tensors]
    value = function(*tensors)
    return value, torch.autograd.grad(
        value, tensors, upstream, allow_unused=True, materialize_grads=True
    )


def _tensorflow_products(function, tensors, upstream, directions):
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        _, gradients = _tensorflow(function, tensors, upstream)
    return tape.gradient(gradients, tensors, directions, unconnected_gradients="zero")


def _jax_products(function, tensors, upstream, directions):
    @jax.jit
    def products(tensors, upstream, directions):
        def gradients(tensors):
            return _jax_gradients(function, tensors, upstream)[1]

        return jax.vjp(gradients, tuple(tensors))[1](tuple(directions))[0]

    return products(tensors, upstream, directions)


def _torch_products(function, tensors, upstream, directions):
    tensors = [x.detach().clone().requires_grad_() for x in tensors]
    gradients = torch.autograd.grad(
        function(*tensors),
        tensors,
        upstream,
        allow_unused=True,
        materialize_grads=True,
        create_graph=True,
    )
    pairs = zip(gradients, directions, strict=True)
    gradients, directions = zip(*(p for p in pairs if p[0].requires_grad), strict=True)
    return torch.autograd.grad(
        gradients, tensors, directions, allow_unused=True, materialize_grads=True
    )


_PRODUCTS = {
    "tensorflow": _tensorflow_products,
    "jax": _jax_products,
    "torch": _torch_products,
}
_BY_BACKEND = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}
