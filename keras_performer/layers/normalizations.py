"""Normalizations of models by name."""

import keras

NORMALIZATIONS = {
    "layer_norm": keras.layers.LayerNormalization,
    "rms_norm": keras.layers.RMSNormalization,
}


def normalization_layer(normalization, **arguments):
    """Makes a normalization that leaves masks as they are.

    `keras.layers.RMSNormalization` drops them by default: what pools or attends behind
    it would count padding.

    Args:
        normalization: One of `NORMALIZATIONS`.
        **arguments: Arguments of the layer.

    Returns:
        A `keras.layers.Layer`.

    Example:

    >>> normalization_layer("rms_norm", epsilon=1e-5).supports_masking
    True
    """
    layer = NORMALIZATIONS[normalization](**arguments)
    layer.supports_masking = True
    return layer
