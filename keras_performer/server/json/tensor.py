"""A parsed JSON request to named arrays, by TensorFlow Serving's rules.

In row format (`instances`) every element is one row: a value, or an object with one
value for each input. In columnar format (`inputs`) there is one tensor for each input.
The shape of a tensor is read off its first elements, and all others must agree.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from keras_performer.server import tensorflow_core as tf
from keras_performer.server.json.arrays import (
    CHUNK,
    MAX_RANK,
    convert_regular,
    make_array,
)
from keras_performer.server.json.values import (
    Converter,
    get_c_string,
    get_converter,
    invalid,
    is_object,
    list_members,
    shape_text,
    to_text,
)
from keras_performer.server.serving_error import ServingError

Values = dict[str, list[Any]]  # of each input, row after row
Shapes = dict[str, tuple[int, ...]]  # of a row of each input

ROW = "row"
COLUMNAR = "columnar"


def _never_late() -> None:
    """The time limit of requests that have none."""


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
    document: Mapping[str, Any],
    dtypes: Mapping[str, tf.DType],
    check_deadline: Callable[[], None] = _never_late,
) -> tuple[str, dict[str, np.ndarray]]:
    """The input tensors of a predict request.

    Args:
        document: the parsed request, a `dict`.
        dtypes: `dict` from input name to `tf.DType`, not empty.
        check_deadline: function that is called now and then and raises `ServingError`
            when the time of the request is over.

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
            raise _malformed(document, "Expecting 'instances' to be an list/array")
        if not rows:
            raise _malformed(document, "No values in 'instances' array")
        return ROW, _read_rows(rows, dtypes, check_deadline)
    if "inputs" in document:
        return COLUMNAR, _read_columns(document["inputs"], dtypes, check_deadline)
    raise invalid("Missing 'inputs' or 'instances' key")


def check_object(document: Any) -> None:
    """Refuse a request that is not a JSON object.

    Raises:
        ServingError: `INVALID_ARGUMENT`.
    """
    if not isinstance(document, dict):
        raise _malformed(document, "Is not object")


def _read_rows(
    rows: list[Any],
    dtypes: Mapping[str, tf.DType],
    check_deadline: Callable[[], None],
) -> dict[str, np.ndarray]:
    if not isinstance(rows[0], dict) and len(dtypes) > 1:
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple "
            "input tensors required as per tensorinfo_map"
        )
    converters = {name: get_converter(dtype) for name, dtype in dtypes.items()}
    named = is_object(rows[0])
    read = _read_named_rows if named else _read_plain_rows
    shapes: Shapes = {}
    pieces: dict[str, list[np.ndarray]] = {name: [] for name in dtypes}
    for start in range(0, len(rows), CHUNK):
        some = rows[start : start + CHUNK]
        arrays = _convert_rows(some, named, dtypes, shapes, check_deadline)
        if arrays is None:  # something is wrong, or to be looked at one by one
            values = read(some, start, converters, shapes, check_deadline)
            arrays = {}
            for name, dtype in dtypes.items():
                shape = (len(some), *shapes[name])
                # Where keys were repeated there are more, of which the first count.
                kept = values[name][: math.prod(shape)]
                arrays[name] = make_array(kept, shape, dtype)
        for name, array in arrays.items():
            shapes[name] = array.shape[1:]
            pieces[name].append(array)
    return {name: np.concatenate(each) for name, each in pieces.items()}


def _convert_rows(
    rows: list[Any],
    named: bool,
    dtypes: Mapping[str, tf.DType],
    shapes: Shapes,
    check_deadline: Callable[[], None],
) -> dict[str, np.ndarray] | None:
    """The arrays of rows that need no closer look; `None` where one may be wrong."""
    if not named:
        if len(dtypes) > 1:
            return None
        columns = dict.fromkeys(dtypes, rows)
    elif all(
        type(row) is dict and row.keys() == dtypes.keys() and is_object(row)
        for row in rows
    ):
        columns = {name: [row[name] for row in rows] for name in dtypes}
    else:
        return None
    arrays = {}
    for name, column in columns.items():
        array = convert_regular(column, dtypes[name], check_deadline)
        if array is None or shapes.get(name, array.shape[1:]) != array.shape[1:]:
            return None
        arrays[name] = array
    return arrays


def _read_named_rows(
    rows: list[Any],
    start: int,
    converters: Mapping[str, Converter],
    shapes: Shapes,
    check_deadline: Callable[[], None],
) -> Values:
    values: Values = {name: [] for name in converters}
    for index, row in enumerate(rows, start):
        if not is_object(row):
            raise invalid(
                f"Expecting object but got list at item {index} of input list"
            )
        members = [(get_c_string(key), value) for key, value in list_members(row)]
        for name, value in members:
            try:
                _add_row(value, name, converters, values, shapes, check_deadline)
            except ServingError as error:
                if error.code == "DEADLINE_EXCEEDED":
                    raise
                raise invalid(
                    f"Failed to process element: {index} key: {name} of "
                    f"'instances' list. Error: {error}"
                ) from error
        if dict(members).keys() != converters.keys():
            raise invalid(
                f"Failed to process element: {index} of 'instances' list. "
                f"JSON object: {to_text(row)} keys must be equal to: "
                f"{','.join(sorted(converters))}"
            )
    return values


def _read_plain_rows(
    rows: list[Any],
    start: int,
    converters: Mapping[str, Converter],
    shapes: Shapes,
    check_deadline: Callable[[], None],
) -> Values:
    name, *missing = sorted(converters)
    if missing:  # the first row is a base64 string
        raise invalid(
            f"input size does not match signature: 1!={len(converters)} "
            f"len({{{name}}}) != len({{{','.join(sorted(converters))}}}). "
            f"Sent extra: {{}}. Missing but required: {{{','.join(missing)}}}."
        )
    values: Values = {name: []}
    for index, row in enumerate(rows, start):
        if is_object(row):
            raise invalid(
                f"Expecting value/list but got object at item {index} of input list"
            )
        try:
            _add_row(row, name, converters, values, shapes, check_deadline)
        except ServingError as error:
            if error.code == "DEADLINE_EXCEEDED":
                raise
            raise invalid(
                f"Failed to process element: {index} of 'instances' list. "
                f"Error: {error}"
            ) from error
    return values


def _add_row(
    value: Any,
    name: str,
    converters: Mapping[str, Converter],
    values: Values,
    shapes: Shapes,
    check_deadline: Callable[[], None],
) -> None:
    """Append one row of one input, which must have the shape of the rows before."""
    if name not in converters:
        raise invalid(f"JSON object: does not have named input: {name}")
    shape = _leading_shape(value)
    row: list[Any] = []
    _flatten(value, 0, shape, converters[name], row, check_deadline)
    expected = shapes.setdefault(name, shape)
    if math.prod(expected) != len(row):
        raise invalid(
            f"Expecting tensor size: {math.prod(expected)} but got: {len(row)}"
        )
    if expected != shape:
        raise invalid(
            f"Expecting shape {shape_text(expected)} but got: {shape_text(shape)}"
        )
    values[name].extend(row)


def _read_columns(
    columns: Any,
    dtypes: Mapping[str, tf.DType],
    check_deadline: Callable[[], None],
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
        arrays[name] = _read_column(columns[name], dtype, check_deadline)
    return arrays


def _read_column(
    column: Any, dtype: tf.DType, check_deadline: Callable[[], None]
) -> np.ndarray:
    if isinstance(column, list):
        array = convert_regular(column, dtype, check_deadline)
        if array is not None:
            return array
    shape = _leading_shape(column)
    values: list[Any] = []
    _flatten(column, 0, shape, get_converter(dtype), values, check_deadline)
    return make_array(values, shape, dtype)


def _leading_shape(value: Any) -> tuple[int, ...]:
    """The lengths of a nested list along its first elements."""
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        if len(shape) > MAX_RANK:
            raise invalid(
                f"Encountered lists nested more than {MAX_RANK} deep; a tensor can "
                f"have at most {MAX_RANK} dimensions"
            )
        if not value:
            break
        value = value[0]
    return tuple(shape)


def _flatten(
    value: Any,
    level: int,
    shape: Sequence[int],
    convert: Converter,
    values: list[Any],
    check_deadline: Callable[[], None],
) -> None:
    """Append the elements of a nested list, which must have the given shape."""
    if len(values) % CHUNK == 0:
        check_deadline()
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
        _flatten(element, level + 1, shape, convert, values, check_deadline)


def _malformed(document: Any, message: str) -> ServingError:
    return invalid(f"JSON Value: {to_text(document)} {message}")
