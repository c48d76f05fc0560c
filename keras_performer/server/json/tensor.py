"""A parsed JSON request to named arrays, by TensorFlow Serving's rules.

In row format (`instances`) every element is one row: a value, or an object with one
value for each input. In columnar format (`inputs`) there is one tensor for each input.
The shape of a tensor is read off its first elements, and all others must agree.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_performer.server.json.parser import RepeatedKeys
from keras_performer.server.json.values import (
    Converter,
    get_converter,
    invalid,
    is_object,
    json_type,
    to_text,
)
from keras_performer.server.serving_error import ServingError

Values = dict[str, list[Any]]  # of each input, row after row
Shapes = dict[str, tuple[int, ...]]  # of a row of each input

ROW = "row"
COLUMNAR = "columnar"

_MAX_RANK = 32  # the most that every supported NumPy can hold


def get_signature_name(document: Mapping[str, Any]) -> str:
    """The `signature_name` of a request, `""` when it has none.

    Raises:
        ServingError: `INVALID_ARGUMENT`, when it is not a string.

    >>> get_signature_name({"signature_name": "embed", "instances": ["a"]})
    'embed'
    """
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid(
            f"JSON Value: {to_text(document)} not formatted correctly. "
            "'signature_name' key must be a string value."
        )
    return name


def read_inputs(
    document: Mapping[str, Any], dtypes: Mapping[str, tf.DType]
) -> tuple[str, dict[str, np.ndarray]]:
    """The input tensors of a predict request.

    Args:
        document: the parsed request, a `dict`.
        dtypes: `dict` from input name to `tf.DType`, not empty.

    Returns:
        `(request_format, arrays)`: `ROW` or `COLUMNAR`, and a `dict` from input name to
        array. Strings are object arrays of `bytes`.

    Raises:
        ServingError: `INVALID_ARGUMENT`, when the request does not give every input
            exactly once, in one shape and of its type. `UNIMPLEMENTED`, when an input
            has a type without JSON form.

    >>> import tensorflow as tf
    >>> read_inputs({"instances": [[1, 2], [3, 4]]}, {"x": tf.int32})
    ('row', {'x': array([[1, 2],
           [3, 4]], dtype=int32)})
    """
    if "instances" in document and "inputs" in document:
        raise _malformed(
            document,
            "Not formatted correctly expecting only one of 'inputs' or 'instances' "
            "keys to exist ",
        )
    if "instances" in document:
        rows = document["instances"]
        if not isinstance(rows, list):
            raise _malformed(document, "Excepting 'instances' to be an list/array")
        if not rows:
            raise _malformed(document, "No values in 'instances' array")
        return ROW, _read_rows(rows, dtypes)
    if "inputs" in document:
        return COLUMNAR, _read_columns(document["inputs"], dtypes)
    raise invalid("Missing 'inputs' or 'instances' key")


def read_examples(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Check the form of a classify or regress request.

    Returns:
        The list of examples, each a `dict` from feature name to value.

    Raises:
        ServingError: `INVALID_ARGUMENT`, when there is no list of objects.
    """
    if "examples" not in document:
        raise _malformed(
            document,
            "When method is classify, key 'examples' is expected and was not found",
        )
    examples = document["examples"]
    if not isinstance(examples, list):
        raise _malformed(document, "Expecting 'examples' value to be an list/array")
    if not examples:
        raise _malformed(document, "'examples' value is an empty array")
    for example in [*examples, document.get("context", {})]:
        if not isinstance(example, dict):
            raise invalid(
                f"Example must be JSON object but got JSON {json_type(example)}"
            )
    return examples


def check_object(document: Any) -> None:
    """Refuse a request that is not a JSON object.

    Raises:
        ServingError: `INVALID_ARGUMENT`.
    """
    if not isinstance(document, dict):
        raise _malformed(document, "Is not object")


def _read_rows(
    rows: list[Any], dtypes: Mapping[str, tf.DType]
) -> dict[str, np.ndarray]:
    if not isinstance(rows[0], dict) and len(dtypes) > 1:
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple "
            "input tensors required as per tensorinfo_map"
        )
    converters = {name: get_converter(dtype) for name, dtype in dtypes.items()}
    read = _read_named_rows if is_object(rows[0]) else _read_plain_rows
    values, shapes = read(rows, converters)
    return {
        name: _make_array(values[name], (len(rows), *shapes[name]), dtypes[name])
        for name in shapes
    }


def _read_named_rows(
    rows: list[Any], converters: Mapping[str, Converter]
) -> tuple[Values, Shapes]:
    values: Values = {name: [] for name in converters}
    shapes: Shapes = {}
    for index, row in enumerate(rows):
        if not is_object(row):
            raise invalid(
                f"Expecting object but got list at item {index} of input list"
            )
        if isinstance(row, RepeatedKeys):
            raise invalid(
                f"Failed to process element: {index} of 'instances' list. "
                f"JSON object: {to_text(row)} names a key more than once"
            )
        for name, value in row.items():
            try:
                _add_row(value, name, converters, values, shapes)
            except ServingError as error:
                raise invalid(
                    f"Failed to process element: {index} key: {name} of "
                    f"'instances' list. Error: {error}"
                ) from error
        if row.keys() != converters.keys():
            raise invalid(
                f"Failed to process element: {index} of 'instances' list. "
                f"JSON object: {to_text(row)} must only have keys: "
                f"{','.join(sorted(converters))}"
            )
    return values, shapes


def _read_plain_rows(
    rows: list[Any], converters: Mapping[str, Converter]
) -> tuple[Values, Shapes]:
    name, *missing = sorted(converters)
    if missing:  # the first row is a base64 string
        raise invalid(
            f"input size does not match signature: 1!={len(converters)} "
            f"len({{{name}}}) != len({{{','.join(sorted(converters))}}}). "
            f"Sent extra: {{}}. Missing but required: {{{','.join(missing)}}}."
        )
    values: Values = {name: []}
    shapes: Shapes = {}
    for index, row in enumerate(rows):
        if is_object(row):
            raise invalid(
                f"Expecting value/list but got object at item {index} of input list"
            )
        try:
            _add_row(row, name, converters, values, shapes)
        except ServingError as error:
            raise invalid(
                f"Failed to process element: {index} of 'instances' list. "
                f"Error: {error}"
            ) from error
    return values, shapes


def _add_row(
    value: Any,
    name: str,
    converters: Mapping[str, Converter],
    values: Values,
    shapes: Shapes,
) -> None:
    """Append one row of one input, which must have the shape of the rows before."""
    if name not in converters:
        raise invalid(f"JSON object: does not have named input: {name}")
    shape = _leading_shape(value)
    row: list[Any] = []
    _flatten(value, 0, shape, converters[name], row)
    expected = shapes.setdefault(name, shape)
    if math.prod(expected) != len(row):
        raise invalid(
            f"Expecting tensor size: {math.prod(expected)} but got: {len(row)}"
        )
    if expected != shape:
        raise invalid(
            f"Expecting shape {_shape_text(expected)} but got: {_shape_text(shape)}"
        )
    values[name].extend(row)


def _read_columns(
    columns: Any, dtypes: Mapping[str, tf.DType]
) -> dict[str, np.ndarray]:
    if not is_object(columns):
        if len(dtypes) > 1:
            raise invalid(
                "inputs is a plain value/list, but expecting an object as multiple "
                "input tensors required as per tensorinfo_map"
            )
        columns = dict.fromkeys(dtypes, columns)
    arrays = {}
    for name, dtype in dtypes.items():
        if name not in columns:
            raise invalid(f"Missing named input: {name} in 'inputs' object.")
        shape = _leading_shape(columns[name])
        values: list[Any] = []
        _flatten(columns[name], 0, shape, get_converter(dtype), values)
        arrays[name] = _make_array(values, shape, dtype)
    return arrays


def _leading_shape(value: Any) -> tuple[int, ...]:
    """The lengths of a nested list along its first elements."""
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        if len(shape) > _MAX_RANK:
            raise invalid(
                f"Encountered lists nested more than {_MAX_RANK} deep; a tensor can "
                f"have at most {_MAX_RANK} dimensions"
            )
        if not value:
            break
        value = value[0]
    return tuple(shape)


def _flatten(
    value: Any, level: int, shape: Sequence[int], convert: Converter, values: list[Any]
) -> None:
    """Append the elements of a nested list, which must have the given shape."""
    if not isinstance(value, list):
        if level != len(shape):
            raise invalid(
                f"JSON Value: {to_text(value)} found at incorrect level: {level + 1} "
                f"in the JSON DOM. Expected at level: {len(shape)}"
            )
        values.append(convert(value))
        return
    if level >= len(shape):
        raise invalid(
            f"Encountered list at unexpected level: {level} expected < {len(shape)}"
        )
    if len(value) != shape[level]:
        raise invalid(
            f"Encountered list at unexpected size: {len(value)} at level: {level} "
            f"expected size: {shape[level]}"
        )
    for element in value:
        _flatten(element, level + 1, shape, convert, values)


def _make_array(
    values: list[Any], shape: tuple[int, ...], dtype: tf.DType
) -> np.ndarray:
    if dtype.name == "string":
        array: np.ndarray = np.empty(len(values), dtype=object)
        array[:] = values
    elif dtype.is_integer:
        parsed = np.uint64 if dtype.name == "uint64" else np.int64
        array = np.array(values, dtype=parsed).astype(dtype.as_numpy_dtype)
    else:
        array = np.array(values, dtype=dtype.as_numpy_dtype)
    return array.reshape(shape)


def _shape_text(shape: Sequence[int]) -> str:
    return f"[{','.join(map(str, shape))}]"


def _malformed(document: Any, message: str) -> ServingError:
    return invalid(f"JSON Value: {to_text(document)} {message}")
