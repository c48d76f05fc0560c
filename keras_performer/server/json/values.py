"""One JSON value to an element of a tensor, and error messages where it does not fit.

An integer must fit the type of the tensor, a decimal is rounded to it, text becomes
bytes, and `{"b64": "..."}` stands for bytes that are not text.
"""

import base64
import binascii
import contextlib
import json
import math
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import partial
from typing import Any, NoReturn

from keras_performer.server import tensorflow_core as tf
from keras_performer.server.json.parser import RepeatedKeys, encode_text
from keras_performer.server.json.writer import write_string
from keras_performer.server.serving_error import ServingError

Converter = Callable[[Any], Any]  # from a JSON value to an element of a tensor

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

_MAX_QUOTED_BYTES = 256  # after so many no further value is begun

# The one place with another limit than TensorFlow Serving, which quotes a string whole.
_MAX_QUOTED_STRING = 10_000

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
    if kind in ("float", "double"):
        return partial(_convert_decimal, kind)
    if kind == "string":
        return _convert_string
    if kind == "bool":
        return _convert_bool
    return partial(_refuse, kind)


def get_integer_range(dtype: tf.DType) -> tuple[int, int] | None:
    """The least and the largest integer that JSON may give for a type.

    Args:
        dtype: `tf.DType` of integers.

    Returns:
        `(lowest, highest)`, or `None` for a type without JSON form.

    >>> import tensorflow as tf
    >>> get_integer_range(tf.uint32)
    (0, 4294967295)
    """
    return _INTEGER_RANGES.get(dtype.name)


def _convert_integer(kind: str, lowest: int, highest: int, value: Any) -> int:
    if type(value) is int and lowest <= value <= highest:
        return value
    raise _wrong_type(value, kind)


def _convert_decimal(kind: str, value: Any) -> float:
    if type(value) not in (int, float):
        raise _wrong_type(value, kind)
    return float(value)


def _convert_string(value: Any) -> bytes:
    if isinstance(value, str):
        return encode_text(value)
    if isinstance(value, dict):
        return decode_base64(value)
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


def decode_base64(value: dict[str, Any]) -> bytes:
    """The bytes of `{"b64": "..."}`.

    Raises:
        ServingError: `INVALID_ARGUMENT`, when it is another object or no base64.

    >>> decode_base64({"b64": "aGVsbG8"})
    b'hello'
    """
    if is_object(value):
        raise invalid(
            f"JSON Value: {to_text(value)} not formatted correctly for base64 data"
        )
    text = encode_text(value["b64"]).translate(None, b" \t\r\n\v\f")
    digits = text.rstrip(b"=.")  # a point is padding too
    padding = b"=" * (-len(digits) % 4)
    try:
        if len(text) - len(digits) not in (0, len(padding)):  # it may be left out
            raise binascii.Error("Incorrect padding")
        return base64.b64decode(digits + padding, validate=True)
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


def list_members(value: dict[str, Any]) -> list[tuple[str, Any]]:
    """The members of an object as `(key, value)`, also those of repeated keys."""
    return value.pairs if isinstance(value, RepeatedKeys) else list(value.items())


def get_c_string(text: str) -> str:
    """A key up to its first zero byte, where TensorFlow Serving ends it in places."""
    return text.partition("\0")[0]


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
    pieces = _Pieces()
    with contextlib.suppress(_EnoughError):
        _write_text(value, 0, pieces)
    return "".join(pieces.pieces)


class _EnoughError(Exception):
    """Raised where TensorFlow Serving stops to write a value out."""


class _Pieces:
    """Pieces of a text, up to the first that begins behind the limit."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self._size = 0
        self._prefix = ""

    def after(self, prefix: str) -> "_Pieces":
        """Itself; the next piece gets the prefix, if there is a next piece."""
        self._prefix = prefix
        return self

    def add(self, piece: str) -> None:
        if self._size >= _MAX_QUOTED_BYTES:
            raise _EnoughError
        piece = self._prefix + piece
        self._prefix = ""
        self.pieces.append(piece)
        self._size += len(encode_text(piece))


def _quote(text: str) -> str:
    if len(text) > _MAX_QUOTED_STRING:
        text = text[:_MAX_QUOTED_STRING] + "..."
    return write_string(encode_text(text)).decode("utf-8", "surrogateescape")


def _write_double(value: float) -> str:
    """The fewest digits that name a double, with a point or an exponent."""
    if not math.isfinite(value):
        return ""
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    text = "".join(map(str, digits))
    point = len(text) + int(exponent)  # where the decimal point is
    if value == 0:
        text = "0.0"
    elif len(text) <= point <= 21:
        text += "0" * (point - len(text)) + ".0"
    elif 0 < point <= 21:
        text = f"{text[:point]}.{text[point:]}"
    elif -6 < point <= 0:
        text = "0." + "0" * -point + text
    else:
        mantissa = text if len(text) == 1 else f"{text[0]}.{text[1:]}"
        text = f"{mantissa}e{point - 1}"
    return "-" * sign + text


def _write_text(value: Any, depth: int, pieces: _Pieces) -> None:
    """Lists on one line, each member of an object on its own."""
    if isinstance(value, list):
        pieces.add("[")
        for index, element in enumerate(value):
            _write_text(element, depth + 1, pieces.after(", " if index else ""))
        pieces.add("]")
    elif isinstance(value, dict):
        pieces.add("{")
        line = "\n" + "    " * depth
        for index, (key, member) in enumerate(list_members(value)):
            pieces.after("," if index else "").add(f"{line}    {_quote(key)}")
            _write_text(member, depth + 1, pieces.after(": "))
        pieces.add(line + "}" if value else "}")
    elif isinstance(value, str):
        pieces.add(_quote(value))
    elif isinstance(value, float):
        pieces.add(_write_double(value))
        if not math.isfinite(value):
            raise _EnoughError
    else:
        pieces.add(json.dumps(value))


def _wrong_type(value: Any, kind: str) -> ServingError:
    return invalid(
        f"JSON Value: {to_text(value)} Type: {json_type(value)} "
        f"is not of expected type: {kind}"
    )


def shape_text(shape: Sequence[int]) -> str:
    """A shape in an error message, as TensorFlow Serving writes it.

    >>> shape_text((2, 3))
    '[2,3]'
    """
    return f"[{','.join(map(str, shape))}]"


def invalid(message: str) -> ServingError:
    """The error for a request that does not fit the model."""
    return ServingError("INVALID_ARGUMENT", message)
