"""`adapt`: fits the data-dependent feature maps of a model to data."""

from collections.abc import Iterable
from typing import Any

from keras_performer.calibration.recording import attention_layers, recorded
from keras_performer.feature_maps import Moments
from keras_performer.layers import FastAttention


def adapt(model: Any, data: Iterable[Any]) -> None:
    """Fits the data-dependent feature maps of a model to data.

    The moments of each layer's queries and keys, as a mean over the batches, replace
    those of training. The kernels that the maps estimate stay the same; the variance
    of the estimates falls. A second run adapts deeper layers to the changes in the
    layers below, which are small.

    Args:
        model: A built Keras model with `FastAttention` layers, some with a
            data-dependent `feature_map` such as `"favor_sharp"`.
        data: Iterable of batches, as `model.fit` takes: inputs, or tuples whose first
            element is the inputs.

    Raises:
        ValueError: If no layer has a map that adapts, or data is empty.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> from keras_performer.layers import FastAttention
    >>> inputs = keras.Input((None, 8))
    >>> layer = FastAttention(2, 4, feature_map="favor_sharp", seed=0)
    >>> model = keras.Model(inputs, layer(inputs, inputs))
    >>> adapt(model, [np.random.default_rng(0).random((3, 5, 8), "float32")])
    """
    if not any(layer.feature_map.adapts for layer in attention_layers(model)):
        raise ValueError(
            f"No `FastAttention` layer of {model.name!r} has a feature map that adapts "
            "to data. Expected 'favor_sharp' or 'favor_plus_plus', say."
        )
    gathered: dict[FastAttention, list[Moments]] = {}
    for recordings in recorded(model, data):
        for each in recordings:
            if each.layer.feature_map.adapts:
                moments = Moments.of(
                    each.query, each.key, each.query_mask, each.key_mask
                )
                gathered.setdefault(each.layer, []).append(moments)
    for layer, seen in gathered.items():
        layer.adapt(Moments.mean(seen))
