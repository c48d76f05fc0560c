"""Classify and regress requests: JSON to `tf.train.Example`, and results to JSON."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_performer.server import tensorflow_core as tf
from keras_performer.server.json.parser import encode_text
from keras_performer.server.json.values import (
    decode_base64,
    get_c_string,
    invalid,
    is_object,
    json_type,
    list_members,
    to_text,
)
from keras_performer.server.json.writer import write_decimals, write_string

_KINDS = {"int64_list": "int64", "float_list": "float", "bytes_list": "bytes"}


def read_examples(document: Mapping[str, Any]) -> np.ndarray:
    """The examples of a classify or regress request.

    Args:
        document: the parsed request, a `dict`, with a list `examples` of objects from
            feature name to a value or a list of values, and perhaps an object
            `context`, whose features are part of each example.

    Returns:
        Object array of the serialized `tf.train.Example` of each, `bytes`.

    Raises:
        ServingError: `INVALID_ARGUMENT`, when there is no list of examples, or a
            feature is not of one kind.

    >>> [example] = read_examples({"examples": [{"x": [1, 2]}]})
    >>> tf.Example.FromString(example).features.feature["x"].int64_list.value
    [1, 2]
    """
    context = b""
    if "context" in document:
        context = _read_example(document["context"])
    if "examples" not in document:
        raise invalid(
            f"JSON Value: {to_text(document)} When method is classify, key 'examples' "
            "is expected and was not found"
        )
    examples = document["examples"]
    if not isinstance(examples, list):
        raise invalid(
            f"JSON Value: {to_text(document)} Expecting 'examples' value to be an "
            "list/array"
        )
    if not examples:
        raise invalid(
            f"JSON Value: {to_text(document)} 'examples' value is an empty array"
        )
    array: np.ndarray = np.empty(len(examples), dtype=object)
    # The serialized form of two messages, one behind the other, is that of both merged.
    array[:] = [context + _read_example(example) for example in examples]
    return array


def write_classifications(
    classes: np.ndarray | None, scores: np.ndarray | None
) -> bytes:
    """The response to a classify request.

    Args:
        classes: object array of labels of shape `(B, classes)`, or `None`.
        scores: float32 array of the same shape, or `None`. One of the two is given.

    Returns:
        `bytes` of a JSON object with the key `results`.

    >>> scores = np.array([[0.5, 0.25]], "float32")
    >>> print(write_classifications(np.array([[b"a", b"b"]], object), scores).decode())
    {
        "results": [[["a", 0.5], ["b", 0.25]]
        ]
    }
    """
    given = classes if classes is not None else scores
    shape = np.shape(given)
    labels = [b'""'] * int(np.prod(shape))
    if classes is not None:
        labels = [write_string(label) for label in classes.reshape(-1).tolist()]
    decimals = [b"0.0"] * len(labels)
    if scores is not None:
        decimals = write_decimals(scores.reshape(-1))
    pairs = [b"[%b, %b]" % pair for pair in zip(labels, decimals, strict=True)]
    rows = [
        b"[" + b", ".join(pairs[row * shape[1] : (row + 1) * shape[1]]) + b"]"
        for row in range(shape[0])
    ]
    return b'{\n    "results": [' + b", ".join(rows) + b"\n    ]\n}"


def write_regressions(values: np.ndarray) -> bytes:
    """The response to a regress request.

    Args:
        values: float32 array of one value an example.

    Returns:
        `bytes` of a JSON object with the key `results`.

    >>> print(write_regressions(np.array([0.5, 2], "float32")).decode())
    {
        "results": [0.5, 2.0]
    }
    """
    decimals = b", ".join(write_decimals(values.reshape(-1)))
    return b'{\n    "results": [' + decimals + b"]\n}"


def _read_example(features: Any) -> bytes:
    if not isinstance(features, dict):
        raise invalid(f"Example must be JSON object but got JSON {json_type(features)}")
    example = tf.Example()
    for name, content in list_members(features):
        name = get_c_string(name)
        key = encode_text(name).decode("utf-8", "replace")
        feature = example.features.feature[key]
        feature.Clear()  # of repeated keys the last counts, if all are well-formed
        for value in content if isinstance(content, list) else [content]:
            _add_value(value, name, feature)
    return example.SerializeToString(deterministic=True)


def _add_value(value: Any, name: str, feature: Any) -> None:
    kind = _get_kind(value, name)
    present = feature.WhichOneof("kind")
    if present not in (None, kind):
        raise invalid(
            f"Unexpected element type in feature: {name} expecting type: "
            f"{_KINDS[present]}"
        )
    if isinstance(value, dict):
        value = decode_base64(value)
    elif isinstance(value, bool):
        value = int(value)
    elif isinstance(value, str):
        value = encode_text(value)
    elif isinstance(value, float):
        with np.errstate(over="ignore"):
            value = float(np.float32(value))
    elif value >= 2**63:
        raise invalid(
            f"Feature: {name} has uint64_t element. Only int64_t is supported."
        )
    getattr(feature, kind).value.append(value)


def _get_kind(value: Any, name: str) -> str:
    if isinstance(value, int):  # a bool too
        return "int64_list"
    if isinstance(value, float):
        return "float_list"
    if isinstance(value, str) or (isinstance(value, dict) and not is_object(value)):
        return "bytes_list"
    raise invalid(
        f"Feature: {name} has element with unexpected JSON type: {json_type(value)}"
    )
