"""`per_layer`: an argument of a stack of layers, with one value for all or for each."""


def per_layer(name, value, num_layers):
    """Returns a list with the value of each layer.

    Args:
        name: The argument's name, for the error.
        value: One value for all layers, or a list or tuple with one for each.
        num_layers: Number of layers.

    Raises:
        ValueError: If a list has not one entry for each layer.

    Example:

    >>> per_layer("exact_window", 64, num_layers=2)
    [64, 64]
    >>> per_layer("exact_window", [None, 64], num_layers=2)
    [None, 64]
    """
    if not isinstance(value, (list, tuple)):
        return [value] * num_layers
    if len(value) != num_layers:
        raise ValueError(
            f"`{name}` must be one value for all layers, or a list with one for each "
            f"of the {num_layers}. Received: {len(value)} entries, {name}={value!r}"
        )
    return list(value)
