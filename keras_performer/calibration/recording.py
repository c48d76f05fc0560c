"""`recorded`: the queries and keys of a model's attention layers on data."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import keras
from keras import ops

from keras_performer.layers import FastAttention


class Recording(NamedTuple):
    """The inputs of one call of an attention layer.

    Attributes:
        layer: The `FastAttention`.
        query: Tensor of shape (B, T, H, D).
        key: Tensor of shape (B, S, Hk, D).
        query_mask: Boolean tensor of shape (B, T), or `None`.
        key_mask: Boolean tensor of shape (B, S), or `None`.
        causal: Whether the call was causal.
    """

    layer: FastAttention
    query: Any
    key: Any
    query_mask: Any
    key_mask: Any
    causal: bool


def recorded(model: Any, data: Iterable[Any]) -> Iterator[list[Recording]]:
    """Runs a model on data, and yields the inputs of each of its attention layers.

    Args:
        model: A built Keras model or layer with `FastAttention` layers in it.
        data: Iterable of batches, as `model.fit` takes: inputs, or tuples whose first
            element is the inputs. A `tf.data.Dataset` is one.

    Yields:
        A list of `Recording`s for each batch, in the order of the calls.

    Raises:
        ValueError: If the model has no `FastAttention`, or data is empty.

    Example:

    >>> import numpy as np
    >>> inputs = keras.Input((None, 8))
    >>> model = keras.Model(inputs, FastAttention(2, 4, seed=0)(inputs, inputs))
    >>> [[recording]] = recorded(model, [np.ones((3, 5, 8), "float32")])
    >>> recording.query.shape
    TensorShape([3, 5, 2, 4])
    """
    layers = attention_layers(model)
    batches = 0
    for batch in data:
        inputs, _, _ = keras.utils.unpack_x_y_sample_weight(batch)
        yield _run(model, layers, inputs)
        batches += 1
    if not batches:
        raise ValueError("`data` has no batch: expected an iterable of model inputs.")


def attention_layers(model: Any) -> list[FastAttention]:
    """The `FastAttention` layers of a model, in its order.

    Raises:
        ValueError: If there is none.
    """
    layers = [x for x in model._flatten_layers() if isinstance(x, FastAttention)]
    if not layers:
        raise ValueError(
            f"{model.name!r} has no `FastAttention` layer, so there is no attention to "
            "look at."
        )
    return layers


def _run(model: Any, layers: list[FastAttention], inputs: Any) -> list[Recording]:
    recordings: list[Recording] = []

    def probe(
        layer: FastAttention,
        query: Any,
        key: Any,
        query_mask: Any,
        key_mask: Any,
        causal: bool,
    ) -> None:
        query, key = (ops.cast(x, "float32") for x in (query, key))
        recordings.append(Recording(layer, query, key, query_mask, key_mask, causal))

    for layer in layers:
        layer.probe = probe
    try:
        model(inputs, training=False)
    finally:
        for layer in layers:
            layer.probe = None
    return recordings
