"""The common form of `recompute`, which keeps all: for tests and inference."""


def recompute(function, inputs):
    """Calls a function of which the backward pass keeps the inputs alone.

    What happens inside is computed again when its gradient is asked for: memory for
    time. It is exact if the function is pure: it must change no variable and read none
    that is trained, and randomness must come from its inputs, or from tensors that it
    closes over.

    Args:
        function: Function of tensors that returns a tuple of tensors, of which the
            first has a gradient and the others have none.
        inputs: Tuple of floating-point tensors, of which the first is that on which
            most of the function depends.

    Returns:
        What the function returns.
    """
    return function(*inputs)
