"""Dtype policies of a layer's sublayers: as they are made, and as they are saved."""

import re

from keras.dtype_policies import DTypePolicyMap


def policy_at(policy, path):
    """The policy of the layer at a path, out of a map if `policy` is one.

    A sublayer is better given its own policy than a map: a quantized layer with a map
    is not saved by Keras, and a layer with a map cannot be quantized.
    """
    return policy[path] if isinstance(policy, DTypePolicyMap) else policy


def saved_policy(layer):
    """Returns the policy from which a layer is made again as it now is.

    Keras keeps the policy of a sublayer with the sublayer. A layer that makes its
    sublayers in `build` would load without their quantization, and could not take
    their weights: its config has to say what their policies are, by a map.

    Args:
        layer: A `keras.layers.Layer`.

    Returns:
        The layer's own policy; a `keras.dtype_policies.DTypePolicyMap` with it as the
        default where sublayers have another.

    Example:

    >>> import keras
    >>> layer = keras.layers.MultiHeadAttention(num_heads=2, key_dim=4, name="mha")
    >>> layer.build((1, 3, 8), (1, 3, 8))
    >>> saved_policy(layer).name
    'float32'
    >>> layer.query_dense.quantize("int8")
    >>> saved_policy(layer)["encoder/mha/query"].name
    'int8_from_float32'
    """
    if not layer.built:
        return layer.dtype_policy
    own = policy_at(layer.dtype_policy, layer.path)
    others = {}
    for sublayer in layer._flatten_layers(include_self=False):
        policy = policy_at(sublayer.dtype_policy, sublayer.path)
        if policy.name != own.name:
            below = sublayer.path.removeprefix(layer.path)
            # Wherever a loaded layer stands: a map's keys match whole paths.
            others[f"(.*/)?{re.escape(layer.name + below)}"] = policy
    return DTypePolicyMap(own, others) if others else own
