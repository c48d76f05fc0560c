"""One JSON value to an element of a tensor, and error messages where it does not fit.

A number must fit the type of the tensor without loss, text becomes bytes, and
`{"b64": "..."}` stands for bytes that are not text.
"""

import base64
import binascii
import json
import math
from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn

import numpy as np
import tensorflow as tf

from keras_performer.server.json.parser import RepeatedKeys, encode_text
from keras_performer.server.json.writer import write_decimals
from keras_performer.server.serving_error import ServingError

Converter = Callable[[Any], Any]  # from a JSON value to an element of a tensor

_LARGEST_FLOAT32 = float(np.finfo(np.float32).max)

# Integers beyond these are rounded by the type, so they are refused.
_LARGEST_INTEGER_IN = {"float": 2**24 - 1, "double": 2**53 - 1}

# TensorFlow's name of a type: the integers its JSON form may hold. The small types
# share int32's, and wrap, as they do in TensorFlow Serving.
_INTEGER_RANGES = {
    "int8": (-(2**31), 2**31 - 1),
    "int16": (-(2**31), 2**31 - 1),
    "int32": (-(2**31), 2**31 - 1),
    "uint8": (-(2**31), 2**31 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint32": (0, 2**32 - 1),
    "uint64": (0, 2**64 - 1),
}

# Indented, a small request of deep lists would become a huge answer.
_MAX_QUOTED_CHARACTERS = 10_000

_TYPE_NAMES = {"float16": "half", "float32": "float", "float64": "double"}


def get_converter(dtype: tf.DType) -> Converter:
    """The function that turns one JSON value into an element of the given type.

    Args:
        dtype: `tf.DType` of the tensor.

    Returns:
        A function of one JSON value. It raises `ServingError`: `INVALID_ARGUMENT` for a
        value that does not fit, `UNIMPLEMENTED` for a type without JSON form.

    >>> import tensorflow as tf
    >>> get_converter(tf.string)({"b64": "aGVsbG8="})
    b'hello'
    """
    kind = _TYPE_NAMES.get(dtype.name, dtype.name)
    if kind in _INTEGER_RANGES:
        return partial(_convert_integer, kind, *_INTEGER_RANGES[kind])
    if kind in _LARGEST_INTEGER_IN:
        return partial(_convert_decimal, kind, _LARGEST_INTEGER_IN[kind])
    if kind == "string":
        return _convert_string
    if kind == "bool":
        return _convert_bool
    return partial(_refuse, kind)


def _convert_integer(kind: str, lowest: int, highest: int, value: Any) -> int:
    if type(value) is int and lowest <= value <= highest:
        return value
    raise _wrong_type(value, kind)


def _convert_decimal(kind: str, largest_integer: int, value: Any) -> float:
    if type(value) not in (int, float):
        raise _wrong_type(value, kind)
    if isinstance(value, int) and -(2**63) <= value < 2**64:
        fits = abs(value) <= largest_integer
    else:
        value = _to_float(value)
        fits = (
            kind == "double"
            or not math.isfinite(value)
            or abs(value) <= _LARGEST_FLOAT32
        )
    if not fits:
        raise invalid(
            f"Cannot convert JSON value: {to_text(value)} to {kind} "
            "without loss of precision."
        )
    return value


def _to_float(value: int | float) -> float:
    try:
        return float(value)
    except OverflowError as error:
        raise invalid(
            "JSON Parse error: Number too big to be stored in double."
        ) from error


def _convert_string(value: Any) -> bytes:
    if isinstance(value, str):
        return encode_text(value)
    if isinstance(value, dict):
        return _decode_base64(value)
    raise _wrong_type(value, "string")


def _convert_bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise _wrong_type(value, "bool")


def _refuse(kind: str, value: Any) -> NoReturn:
    if isinstance(value, dict):
        raise _wrong_type(value, kind)
    raise ServingError(
        "UNIMPLEMENTED", f"Conversion of JSON Value: {to_text(value)} to type: {kind}"
    )


def _decode_base64(value: dict[str, Any]) -> bytes:
    if is_object(value):
        raise invalid(
            f"JSON Value: {to_text(value)} not formatted correctly for base64 data"
        )
    text = encode_text(value["b64"]).translate(None, b" \t\r\n\v\f")
    if not text.endswith(b"="):
        text += b"=" * (-len(text) % 4)  # the padding may be left out
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise invalid("Unable to base64 decode") from error


def is_object(value: Any) -> bool:
    """Whether a value is an object with members, and not a base64 string."""
    if not isinstance(value, dict):
        return False
    return (
        isinstance(value, RepeatedKeys)
        or value.keys() != {"b64"}
        or not isinstance(value["b64"], str)
    )


def json_type(value: Any) -> str:
    """The name of a value's JSON type, as error messages spell it."""
    if value is None:
        return "Null"
    if isinstance(value, bool):
        return "True" if value else "False"
    if isinstance(value, dict):
        return "Object"
    if isinstance(value, list):
        return "Array"
    return "String" if isinstance(value, str) else "Number"


def to_text(value: Any) -> str:
    """A JSON value as text, for error messages; the beginning of it if it is long."""
    if isinstance(value, float):
        is_float32 = math.isfinite(value) and abs(value) <= _LARGEST_FLOAT32
        dtype = np.float32 if is_float32 else np.float64
        return write_decimals(np.array([value], dtype))[0].decode()
    text = ""
    for piece in json.JSONEncoder(indent=4, ensure_ascii=False).iterencode(value):
        text += piece
        if len(text) > _MAX_QUOTED_CHARACTERS:
            return text[:_MAX_QUOTED_CHARACTERS] + "..."
    return text


def _wrong_type(value: Any, kind: str) -> ServingError:
    return invalid(
        f"JSON Value: {to_text(value)} Type: {json_type(value)} "
        f"is not of expected type: {kind}"
    )


def invalid(message: str) -> ServingError:
    """The error for a request that does not fit the model."""
    return ServingError("INVALID_ARGUMENT", message)
