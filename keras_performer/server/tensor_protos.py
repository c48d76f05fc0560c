"""Tensors of gRPC requests and answers, laid out as TensorFlow Serving lays them out.

Its answers hold values in the field of their type, and not as raw bytes: clients read
`outputs["probabilities"].float_val`.
"""

import math
from typing import Any

import numpy as np
from tensorflow.core.framework import types_pb2

from keras_performer.server import tensorflow_core as tf
from keras_performer.server.json.values import invalid

# A tensor may give fewer values than its shape has: the last one stands for the rest.
# So that a small message asks for no large array, they are then at most so many.
_MAX_FILLED = 65_536

_FIELDS = {
    "float16": "half_val",
    "bfloat16": "half_val",
    "float32": "float_val",
    "float64": "double_val",
    "int8": "int_val",
    "int16": "int_val",
    "int32": "int_val",
    "uint8": "int_val",
    "uint16": "int_val",
    "int64": "int64_val",
    "uint32": "uint32_val",
    "uint64": "uint64_val",
    "bool": "bool_val",
    "string": "string_val",
}


def read_tensor(
    tensor: Any, name: str, dtype: tf.DType, position: int = 0
) -> np.ndarray:
    """The array of a `TensorProto`.

    Args:
        tensor: the message.
        name: of the input, for the error.
        dtype: `tf.DType` of the input.
        position: of the input among all, for the error.

    Returns:
        The array. Strings are an object array of `bytes`.

    Raises:
        ServingError: `INVALID_ARGUMENT`, when it has another type, or not as many
            values as its shape says.

    >>> read_tensor(tf.make_tensor_proto([1.5]), "x", tf.float32)
    array([1.5], dtype=float32)
    """
    if tensor.dtype != dtype.as_datatype_enum:
        raise invalid(
            f"Expects arg[{position}] to be {_get_type_name(dtype.as_datatype_enum)} "
            f"but {_get_type_name(tensor.dtype)} is provided"
        )
    sizes = [dimension.size for dimension in tensor.tensor_shape.dim]
    count = math.prod(sizes)
    if tensor.tensor_shape.unknown_rank or min(sizes, default=0) < 0:
        raise invalid(f"tensor parsing error: {name}")
    given = len(getattr(tensor, _FIELDS.get(dtype.name, "float_val")))
    if not tensor.tensor_content and count > max(given, _MAX_FILLED):
        raise invalid(f"tensor parsing error: {name}")
    try:
        return tf.make_ndarray(tensor)
    except (TypeError, ValueError) as error:
        raise invalid(f"tensor parsing error: {name}") from error


def _get_type_name(number: int) -> str:
    """The name of a type in TensorFlow's messages, such as `"float"` for DT_FLOAT."""
    try:
        return types_pb2.DataType.Name(number).removeprefix("DT_").lower()
    except ValueError:
        return f"unknown dtype enum ({number})"


def write_tensor(array: np.ndarray, tensor: Any) -> None:
    """Put an array into a `TensorProto`.

    Args:
        array: the array.
        tensor: an empty message.

    Raises:
        ServingError: `INVALID_ARGUMENT`, when the type has no field.

    >>> tensor = tf.make_tensor_proto(0.0).__class__()
    >>> write_tensor(np.array([[1.5, 2.5]], "float32"), tensor)
    >>> list(tensor.float_val), [size.size for size in tensor.tensor_shape.dim]
    ([1.5, 2.5], [1, 2])
    """
    kind = "string" if array.dtype == object else array.dtype.name
    if kind not in _FIELDS:
        raise invalid(f"Failed to write a tensor of type: {kind}")
    tensor.dtype = tf.as_dtype(kind).as_datatype_enum
    for size in array.shape:
        tensor.tensor_shape.dim.add(size=size)
    values = array.reshape(-1)
    if _FIELDS[kind] == "half_val":  # the bits, as integers
        values = values.view(np.uint16)
    getattr(tensor, _FIELDS[kind]).extend(values.tolist())
