"""Many JSON values to one array at a time, without a loop over values in Python."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from keras_performer.server import tensorflow_core as tf
from keras_performer.server.json.parser import encode_text
from keras_performer.server.json.values import get_integer_range
from keras_performer.server.serving_error import ServingError

MAX_RANK = 32  # the most that every supported NumPy can hold

# How many values are worked on before other threads and the time limit get a turn.
CHUNK = 65_536


def convert_regular(
    values: list[Any], dtype: tf.DType, check_deadline: Callable[[], None]
) -> np.ndarray | None:
    """The array of a regular nested list of one kind of values.

    Args:
        values: the list.
        dtype: `tf.DType` of the array.
        check_deadline: function that is called now and then and raises `ServingError`
            when the time of the request is over.

    Returns:
        The array, or `None` where a value may not fit, or where the values are not told
        by their type: they are then to be looked at one by one.

    >>> convert_regular([[1, 2], [3, 4]], tf.int32, lambda: None).shape
    (2, 2)
    """
    shape = [len(values)]
    elements: Iterator[Any] = iter(values)
    while values and type(values[0]) is list:
        length = len(values[0])
        if (
            len(shape) == MAX_RANK
            or _types(values, check_deadline) != {list}
            or set(map(len, values)) != {length}
        ):
            return None
        shape.append(length)
        elements = itertools.chain.from_iterable(values)
        if not length or type(values[0][0]) is not list:
            break
        values = list(elements)
    pieces = []
    while some := list(itertools.islice(elements, CHUNK)):
        check_deadline()
        piece = _convert_flat(some, dtype)
        if piece is None:
            return None
        pieces.append(piece)
    flat = np.concatenate(pieces) if pieces else make_array([], (0,), dtype)
    return flat.reshape(shape)


def _convert_flat(values: list[Any], dtype: tf.DType) -> np.ndarray | None:
    types = set(map(type, values))
    if dtype.name == "string":
        if types != {str}:
            return None
        return make_array([encode_text(text) for text in values], None, dtype)
    try:
        if dtype.is_integer:
            integers = get_integer_range(dtype)
            if types != {int} or integers is None:
                return None
            lowest, highest = integers
            array = np.array(values, dtype=np.int64 if lowest else np.uint64)
            if array.min() < lowest or array.max() > highest:
                return None
            return array.astype(dtype.as_numpy_dtype)
        if dtype.name in ("float32", "float64") and types <= {int, float}:
            with np.errstate(over="ignore"):  # what is too large becomes infinite
                return np.array(values, np.float64).astype(dtype.as_numpy_dtype)
    except OverflowError:
        return None
    if dtype.name == "bool" and types == {bool}:
        return np.array(values, dtype=bool)
    return None


def _types(values: list[Any], check_deadline: Callable[[], None]) -> set[type]:
    types: set[type] = set()
    for start in range(0, len(values), CHUNK):
        check_deadline()
        types.update(map(type, values[start : start + CHUNK]))
    return types


def make_array(
    values: list[Any], shape: tuple[int, ...] | None, dtype: tf.DType
) -> np.ndarray:
    """An array of values that were converted one by one.

    Args:
        values: list of elements, in order.
        shape: shape of the array; `None` leaves it flat.
        dtype: `tf.DType` of the array.

    Raises:
        ServingError: `UNIMPLEMENTED`, for a type that has no values.
    """
    if dtype in (tf.resource, tf.variant):
        raise ServingError(
            "UNIMPLEMENTED", f"Conversion of JSON Value: [] to type: {dtype.name}"
        )
    if dtype.name == "string":
        array: np.ndarray = np.empty(len(values), dtype=object)
        array[:] = values
    elif dtype.is_integer:
        parsed = np.uint64 if dtype.name == "uint64" else np.int64
        array = np.array(values, dtype=parsed).astype(dtype.as_numpy_dtype)
    else:
        with np.errstate(over="ignore"):  # what is too large becomes infinite
            array = np.array(values, np.float64).astype(dtype.as_numpy_dtype)
    return array if shape is None else array.reshape(shape)
