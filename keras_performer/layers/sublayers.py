"""What a layer makes its sublayers of: initializers, dtype policies, normalizations."""

import re
import zlib

import keras
from keras.dtype_policies import DTypePolicyMap

from keras_performer.layers.quantizable import EinsumDense

NORMALIZATIONS = {
    "layer_norm": keras.layers.LayerNormalization,
    "rms_norm": keras.layers.RMSNormalization,
}


# The layers whose outputs the residual branches of a block end in.
BRANCH_ENDS = ("attention_output", "feedforward_output_dense")


@keras.saving.register_keras_serializable(package="keras_performer")
class ResidualNormal(keras.initializers.TruncatedNormal):
    """A truncated normal distribution, narrower for what is added to a residual stream.

    Where residual branches end, the standard deviation is divided by the root of their
    number, so that their sum has the same size whatever the depth is, as in GPT-2.

    Args:
        stddev: Standard deviation, before it is cut at two of them.
        num_branches: Number of residual branches of the model.
        seed: Integer, or `None`.
    """

    def __init__(self, stddev, num_branches, seed=None):
        super().__init__(stddev=stddev, seed=seed)
        self.num_branches = num_branches

    def get_config(self):
        return {
            "stddev": self.stddev,
            "num_branches": self.num_branches,
            "seed": super().get_config()["seed"],
        }


def clone_initializer(initializer, name):
    """Returns a copy of an initializer, with a seed of its own where it has one.

    An initializer with an integer seed returns the same values at each call, and so
    does a plain copy: the kernels of queries, keys and values would start equal.

    Args:
        initializer: A `keras.initializers.Initializer`.
        name: Name of the sublayer, which sets the new seed together with the old one.

    Returns:
        A `keras.initializers.Initializer` of the same class.

    Example:

    >>> initializer = keras.initializers.RandomNormal(seed=1)
    >>> query, key = (clone_initializer(initializer, n) for n in ("query", "key"))
    >>> bool((query((2, 2)) == key((2, 2))).numpy().any())
    False
    """
    config = initializer.get_config()
    if isinstance(config.get("seed"), int):
        config["seed"] = zlib.crc32(f"{config['seed']} {name}".encode()) % 2**31
    clone = type(initializer).from_config(config)
    if isinstance(clone, ResidualNormal) and name in BRANCH_ENDS:
        clone.stddev *= clone.num_branches**-0.5
    return clone


def policy_at(policy, path):
    """The policy of the layer at a path, out of a map if `policy` is one.

    A sublayer is better given its own policy than a map: a quantized layer with a map
    is not saved by Keras, and a layer with a map cannot be quantized.

    Args:
        policy: A `keras.dtype_policies.DTypePolicy` or `DTypePolicyMap`.
        path: Path of the sublayer, such as `"encoder/attention/query"`.

    Returns:
        A `keras.dtype_policies.DTypePolicy`.
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


def normalization_layer(normalization, **arguments):
    """Makes a normalization that leaves masks as they are.

    `keras.layers.RMSNormalization` drops them by default: what pools or attends behind
    it would count padding.

    Args:
        normalization: `"layer_norm"` or `"rms_norm"`.
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


def projection(features, units, rank, use_bias, **arguments):
    """Makes a projection of the features of each position.

    Args:
        features: Which of its axes become which, such as `"f->hd"`.
        units: Sizes of the new axes.
        rank: Of the inputs, (B, *axes, *features). The weights do not depend on it.
        use_bias: Whether there is a bias of the new axes.
        **arguments: Arguments of the layer.

    Returns:
        An `EinsumDense`.

    Example:

    >>> projection("f->hd", (3, 5), rank=3, use_bias=True).equation
    'btf,fhd->bthd'
    """
    # An equation of the inputs' rank: the activity regularizer, as Keras's, then
    # divides by the batch alone.
    positions = "b" + "tuvwijklmnopq"[: rank - 2]
    before, after = features.split("->")
    return EinsumDense(
        f"{positions}{before},{before}{after}->{positions}{after}",
        output_shape=(*(None,) * (rank - 2), *units),
        bias_axes=after if use_bias else None,
        **arguments,
    )
