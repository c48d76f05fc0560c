"""Writing of a SavedModel, of which each function is traced once."""

import functools
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_performer.ops.backend import without_gradients

Signature = tuple[Callable[..., Any], Sequence[tf.TensorSpec]]


def trace(function: Callable[..., Any], *specs: tf.TensorSpec) -> Any:
    """A function of some tensors, traced without what gradients would need.

    A `tf.function` is traced again by whoever saves it; this is only called.

    Args:
        function: Function of tensors.
        specs: Specification of each.

    Returns:
        A `tf.types.experimental.ConcreteFunction`.
    """
    traced = tf.function(function, input_signature=specs, autograph=False)
    with without_gradients():
        return traced.get_concrete_function()


def write_saved_model(
    path: pathlib.Path,
    signatures: Mapping[str, Signature],
    layers_with_tables: Sequence[keras.layers.Layer] = (),
) -> None:
    """Writes a SavedModel, whose variables are those that its signatures use.

    The model is not tracked: Keras would trace it, and each model within it, for
    functions that nobody calls, which takes longer than the rest.

    Args:
        path: Folder to write to.
        signatures: Of each name a function and the specifications of its tensors.
        layers_with_tables: Layers with lookup tables, each called once before.
    """
    archive = keras.export.ExportArchive()
    for layer in layers_with_tables:
        archive.track(layer)
    for name, (function, specs) in signatures.items():
        endpoint = functools.partial(_call, trace(function, *specs))
        archive.add_endpoint(name, endpoint, input_signature=specs)
    archive.write_out(path, verbose=False)


def _call(function: Callable[..., Any], *tensors: Any) -> Any:
    return function(*tensors)
