"""`Structure`: what a function that was compiled for a model depends on."""

import keras

PLAIN = (bool, int, float, str, type(None))


class Structure:
    """All of a model that a compiled function takes as constant.

    Compiled functions read the values of weights when they run, and everything else
    when they are traced: layers, policies, LoRA, settings. Those that were traced for
    another structure compute what the model was.

    Args:
        model: A built `keras.Model`.

    Example:

    >>> layer = keras.layers.Dropout(0.5)
    >>> model = keras.Sequential([keras.Input((3,)), layer])
    >>> before = Structure(model)
    >>> before == Structure(model)
    True
    >>> layer.rate = 0.2
    >>> before == Structure(model)
    False
    """

    __hash__ = None  # type: ignore[assignment]  # compared, and never looked up

    def __init__(self, model):
        layers = model._flatten_layers()
        self._values = [*layers, *model.weights]
        self._values += [
            value
            for layer in layers
            for value in (
                layer.trainable,
                layer.compute_dtype,
                layer.variable_dtype,
                layer.quantization_mode,
                *settings(layer),
            )
        ]

    def __eq__(self, other):
        # The objects are kept, so that no other one can have the identity of one.
        return keys(self._values) == keys(other._values)


def settings(owner):
    """The values of an object's public attributes.

    Args:
        owner: A layer, or another object with a `__dict__`. What `fit` and `compile`
            set of a `keras.Model` is left out, and the `training` that PyTorch sets.

    Returns:
        List of values.
    """
    if isinstance(owner, keras.Model):
        return []
    attributes = vars(owner).items()
    return [
        value
        for name, value in attributes
        if name[0] != "_" and name not in ("built", "training")
    ]


def keys(values):
    """Plain values as they are, and objects by their identity, as a tuple."""
    return tuple(value if isinstance(value, PLAIN) else id(value) for value in values)
