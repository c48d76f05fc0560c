"""Functions with a gradient of their own, written alike for every backend."""

import functools

from keras import ops


def custom_gradient(function):
    """`keras.ops.custom_gradient` for a function of one tensor.

    PyTorch passes a gradient the inputs again and what comes from above by name, the
    other backends that alone. Here it is always that alone.

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
    def with_gradient(x):
        value, gradient = function(x)

        def of_any_backend(*arguments, upstream=None):
            (upstream,) = arguments if upstream is None else (upstream,)
            return gradient(upstream)

        return value, of_any_backend

    return ops.custom_gradient(with_gradient)
