"""`remat`: part of a layer whose intermediate values the backward pass recomputes."""

import keras

from keras_performer.ops import backend
from keras_performer.ops.backend.keras_internals import AutocastScope


def remat(layer, function, inputs):
    """Calls a function of a layer's weights, of which no intermediate is kept.

    Like `keras.remat`, and exact where that is not: weights and the states of random
    seeds go in as values, and what the function changes of them comes out as values.
    So dropout is the same in both computations, and a state changes once.

    Args:
        layer: A built `keras.layers.Layer`, with the weights of all that the function
            calls.
        function: Function of tensors that returns a tensor.
        inputs: Tuple of floating-point tensors. What the function closes over gets no
            gradient.

    Returns:
        `function(*inputs)`.

    Example:

    >>> import numpy as np
    >>> layer = keras.layers.Dense(3)
    >>> layer.build((None, 2))
    >>> remat(layer, layer, (np.ones((1, 2), "float32"),)).shape
    TensorShape([1, 3])
    """
    trained, others = layer.trainable_variables, layer.non_trainable_variables
    with AutocastScope(None):
        values = tuple(variable.value for variable in trained)
        # Copied, as the value of a variable of TensorFlow is the variable itself.
        states = [keras.ops.copy(variable.value) for variable in others]
    count, changed = len(inputs), []

    def pure(*tensors):
        inputs, values = tensors[:count], tensors[count:]
        mapping = [
            *zip(trained, values, strict=True),
            *zip(others, states, strict=True),
        ]
        with keras.StatelessScope(mapping) as scope:
            before = [scope.get_current_value(variable) for variable in others]
            output = function(*inputs)
            after = [scope.get_current_value(variable) for variable in others]
        pairs = zip(others, before, after, strict=True)
        changed[:] = [variable for variable, old, new in pairs if new is not old]
        return output, *(scope.get_current_value(variable) for variable in changed)

    inputs = tuple(map(keras.ops.convert_to_tensor, inputs))
    output, *updates = backend.remat(pure, (*inputs, *values))
    for variable, value in zip(changed, updates, strict=True):
        variable.assign(value)
    return output
