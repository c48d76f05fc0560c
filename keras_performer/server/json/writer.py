"""Tensors and errors to response bytes, laid out as TensorFlow Serving lays them out.

TensorFlow Serving writes with an indenting writer that is switched to one line while it
is inside a row, which gives its responses their unusual shape; the same bytes are
written here. Text is handled as bytes throughout, because a string tensor may hold
anything.
"""

import base64
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from keras_performer.server.serving_error import ServingError

_INDENT = b"    "

_BYTES_SUFFIX = "_bytes"  # an output whose name ends so holds binary values

_MUST_ESCAPE = re.compile(rb'["\\\x00-\x1f]')

_ESCAPES = {bytes([code]): b"\\u%04X" % code for code in range(0x20)} | {
    b'"': b'\\"',
    b"\\": b"\\\\",
    b"\b": b"\\b",
    b"\f": b"\\f",
    b"\n": b"\\n",
    b"\r": b"\\r",
    b"\t": b"\\t",
}

_SIGNIFICANT_DIGITS = {"float32": 9, "float64": 17}  # enough to name each value

_NOT_FINITE = {"nan": b"NaN", "inf": b"Infinity", "-inf": b"-Infinity"}

# How many values are written before the time limit is looked at.
_CHUNK = 65_536

_INTEGERS = {"int8", "int16", "int32", "int64", "uint8", "uint32", "uint64"}


def _never_late() -> None:
    """The time limit of requests that have none."""


def write_row_format(
    outputs: Mapping[str, np.ndarray], check_deadline: Callable[[], None] = _never_late
) -> bytes:
    """The response to a request in row format: one prediction a row.

    Args:
        outputs: `dict` from output name to array; all of shape `(B, ...)`.
        check_deadline: function that is called now and then and raises `ServingError`
            when the time of the request is over.

    Returns:
        `bytes` of a JSON object with the key `predictions`: a list of values when there
        is one output, of objects when there are several.

    Raises:
        ServingError: `INVALID_ARGUMENT`, when the outputs do not have one batch size,
            or a type that has no JSON form.

    >>> print(write_row_format({"y": np.array([2.5, 3], "float32")}).decode())
    {
        "predictions": [2.5, 3.0
        ]
    }
    """
    _check_not_empty(outputs)
    batch_size = _common_batch_size(outputs)
    named = len(outputs) > 1
    depth = 3 if named else 2  # brackets open around the value of a row
    columns = [
        (
            write_string(name.encode()),
            _write_rows(name, np.asarray(array), depth, check_deadline),
        )
        for name, array in sorted(outputs.items())
    ]
    if not named:
        rows = b", ".join(columns[0][1])
    else:
        line = b"\n" + _INDENT * 3
        end = b"\n" + _INDENT * 2
        rows = b",".join(
            end
            + b"{"
            + b",".join(line + key + b": " + values[row] for key, values in columns)
            + end
            + b"}"
            for row in range(batch_size)
        )
    end = b"\n    ]\n}" if batch_size else b"]\n}"
    return b'{\n    "predictions": [' + rows + end


def write_columnar_format(
    outputs: Mapping[str, np.ndarray], check_deadline: Callable[[], None] = _never_late
) -> bytes:
    """The response to a request in columnar format: one tensor an output.

    Args:
        outputs: `dict` from output name to array, of any shapes.
        check_deadline: as of `write_row_format`.

    Returns:
        `bytes` of a JSON object with the key `outputs`: a tensor when there is one
        output, an object of tensors when there are several.

    Raises:
        ServingError: `INVALID_ARGUMENT`, when a type has no JSON form.

    >>> print(write_columnar_format({"y": np.array([True])}).decode())
    {
        "outputs": [
            true
        ]
    }
    """
    _check_not_empty(outputs)
    depth = 2 if len(outputs) > 1 else 1
    tensors = []
    for name, array in sorted(outputs.items()):
        array = np.asarray(array)
        values = _write_values(name, array, depth + array.ndim, check_deadline)
        tensors.append((name, _nest(values, array.shape, depth)))
    if len(tensors) == 1:
        return b'{\n    "outputs": ' + tensors[0][1] + b"\n}"
    line = b"\n" + _INDENT * 2
    members = b",".join(
        line + write_string(name.encode()) + b": " + tensor for name, tensor in tensors
    )
    return b'{\n    "outputs": {' + members + b"\n    }\n}"


def write_error(message: str) -> bytes:
    """The response that tells an error.

    >>> print(write_error("Missing model name in request.").decode())
    {
        "error": "Missing model name in request."
    }
    """
    try:
        text = message.encode("utf-8", "surrogateescape")  # what a client sent
    except UnicodeEncodeError:
        text = message.encode("utf-8", "backslashreplace")
    return b'{\n    "error": ' + write_string(text) + b"\n}"


def write_string(text: bytes) -> bytes:
    """A JSON string from `bytes`; what is not UTF-8 is passed on as it is."""
    return b'"' + _MUST_ESCAPE.sub(lambda found: _ESCAPES[found[0]], text) + b'"'


def write_decimals(values: np.ndarray) -> list[bytes]:
    """Decimals as TensorFlow Serving writes them: the short form where that is exact.

    Args:
        values: float32 or float64 array of one dimension.

    Returns:
        List of `bytes`, each with a point or an exponent, or one of the words `NaN`,
        `Infinity` and `-Infinity`, which JSON itself does not have.

    >>> write_decimals(np.array([9000000, 0.1, 3, np.nan], "float32"))
    [b'9e+06', b'0.1', b'3.0', b'NaN']
    """
    numbers = values.tolist()
    short = [f"{number:.6g}" for number in numbers]
    with np.errstate(over="ignore"):  # the short form of the largest float32 overflows
        exact = np.array([float(text) for text in short]).astype(values.dtype) == values
    digits = _SIGNIFICANT_DIGITS[values.dtype.name]
    texts = []
    for number, text, is_exact in zip(numbers, short, exact.tolist(), strict=True):
        if not math.isfinite(number):
            texts.append(_NOT_FINITE[text])
            continue
        if not is_exact:
            text = f"{number:.{digits}g}"
        if "." not in text and "e" not in text:
            text += ".0"
        texts.append(text.encode())
    return texts


def _check_not_empty(outputs: Mapping[str, np.ndarray]) -> None:
    if not outputs:
        raise ServingError(
            "INVALID_ARGUMENT", "Cannot convert empty tensor map to JSON"
        )


def _common_batch_size(outputs: Mapping[str, np.ndarray]) -> int:
    batch_size = None
    for name, array in sorted(outputs.items()):
        shape = np.shape(array)
        if not shape:
            raise ServingError(
                "INVALID_ARGUMENT",
                f"Tensor name: {name} has no shape information ",
            )
        if batch_size not in (None, shape[0]):
            raise ServingError(
                "INVALID_ARGUMENT",
                f"Tensor name: {name} has inconsistent batch size: {shape[0]} "
                f"expecting: {batch_size}",
            )
        batch_size = shape[0]
    return batch_size or 0


def _write_rows(
    name: str, array: np.ndarray, depth: int, check_deadline: Callable[[], None]
) -> list[bytes]:
    """The text of each row of an array, each on one line."""
    values = _write_values(name, array, depth + array.ndim - 1, check_deadline)
    if array.ndim == 1:
        return list(values)
    return [_nest(values, array.shape[1:], None) for _ in range(array.shape[0])]


def _write_values(
    name: str, array: np.ndarray, depth: int, check_deadline: Callable[[], None]
) -> Iterator[bytes]:
    """The text of every element, in order; `depth` brackets are open around each."""
    flat = array.reshape(-1)
    if not flat.size:  # of any type, also one without JSON form
        return
    write = _get_writer(name, array.dtype, depth)
    for start in range(0, len(flat), _CHUNK):
        check_deadline()
        yield from write(flat[start : start + _CHUNK])


def _get_writer(
    name: str, dtype: np.dtype, depth: int
) -> Callable[[np.ndarray], list[bytes]]:
    kind = dtype.name
    if kind in _SIGNIFICANT_DIGITS:
        return write_decimals
    if kind in _INTEGERS:
        return lambda values: [b"%d" % value for value in values.tolist()]
    if kind == "bool":
        return lambda values: [b"true" if value else b"false" for value in values]
    if kind == "object":
        if name.endswith(_BYTES_SUFFIX):
            return lambda values: [_write_base64(value, depth) for value in values]
        return lambda values: [write_string(value) for value in values]
    kind = "half" if kind == "float16" else kind
    raise ServingError(
        "INVALID_ARGUMENT", f"Failed to write JSON value for tensor type: {kind}"
    )


def _write_base64(value: bytes, depth: int) -> bytes:
    line = b"\n" + _INDENT * (depth + 1)
    end = b"\n" + _INDENT * depth
    return b"{" + line + b'"b64": ' + write_string(base64.b64encode(value)) + end + b"}"


def _nest(values: Iterator[bytes], shape: Sequence[int], depth: int | None) -> bytes:
    """Nested JSON lists: on one line if `depth` is None, else indented from there."""
    if not shape:
        return next(values)
    inner_depth = None if depth is None else depth + 1
    items = [_nest(values, shape[1:], inner_depth) for _ in range(shape[0])]
    if not items:
        return b"[]"
    if depth is None:
        return b"[" + b", ".join(items) + b"]"
    line = b"\n" + _INDENT * (depth + 1)
    return (
        b"[" + b",".join(line + item for item in items) + b"\n" + _INDENT * depth + b"]"
    )
