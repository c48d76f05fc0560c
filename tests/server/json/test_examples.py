"""Examples in JSON become `tf.train.Example`, and results become JSON."""

import numpy as np
import pytest
import tensorflow as tf

from keras_performer.server.json.examples import (
    read_examples,
    write_classifications,
    write_regressions,
)
from keras_performer.server.json.parser import parse
from keras_performer.server.serving_error import ServingError


def read(body):
    """Each example as a dict from feature name to its kind and values."""
    examples = map(tf.train.Example.FromString, read_examples(parse(body)))
    return [
        {
            name: (kind, list(getattr(feature, kind).value) if kind else [])
            for name, feature in example.features.feature.items()
            for kind in [feature.WhichOneof("kind")]
        }
        for example in examples
    ]


def test_each_kind_of_feature():
    body = (
        b'{"examples": [{"i": [1, -2], "f": 1.5, "b": [true, false], "s": "\xc3\xa9",'
        b' "b64": {"b64": "/w=="}, "none": [], "big": 1e39}, {"i": 3}]}'
    )
    assert read(body) == [
        {
            "i": ("int64_list", [1, -2]),
            "f": ("float_list", [1.5]),
            "b": ("int64_list", [1, 0]),
            "s": ("bytes_list", ["é".encode()]),
            "b64": ("bytes_list", [b"\xff"]),
            "none": (None, []),
            "big": ("float_list", [float("inf")]),
        },
        {"i": ("int64_list", [3])},
    ]


def test_the_context_is_part_of_each_example():
    body = b'{"context": {"c": "x"}, "examples": [{"i": 1}, {"i": 2}]}'
    assert read(body) == [
        {"c": ("bytes_list", [b"x"]), "i": ("int64_list", [i])} for i in (1, 2)
    ]


def test_of_repeated_keys_the_last_counts():
    body = b'{"examples": [{"x": 1, "x": "a"}, {"x": 1, "x\\u0000y": 2}]}'
    assert read(body) == [
        {"x": ("bytes_list", [b"a"])},
        {"x": ("int64_list", [2])},
    ]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{}", "key 'examples' is expected and was not found"),
        (b'{"examples": {}}', "Expecting 'examples' value to be an list/array"),
        (b'{"examples": []}', "'examples' value is an empty array"),
        (b'{"examples": [[1]]}', "Example must be JSON object but got JSON Array"),
        (b'{"examples": [{}], "context": 1}', "must be JSON object but got JSON Num"),
        (b'{"examples": [{"x": null}]}', "x has element with unexpected JSON type: Nu"),
        (b'{"examples": [{"x": [[1]]}]}', "with unexpected JSON type: Array"),
        (b'{"examples": [{"x": {"a": 1}}]}', "with unexpected JSON type: Object"),
        (b'{"examples": [{"x": [1, 1.5]}]}', "in feature: x expecting type: int64"),
        (b'{"examples": [{"x": ["a", 1]}]}', "in feature: x expecting type: bytes"),
        (b'{"examples": [{"x": 9223372036854775808}]}', "Only int64_t is supported"),
        (b'{"examples": [{"x": {"b64": "?"}}]}', "Unable to base64 decode"),
        (b'{"examples": [{"x": [1, {"b64": "?"}]}]}', "x expecting type: int64"),
        (b'{"examples": [{"x": [1.5, 9223372036854775808]}]}', "expecting type: float"),
    ],
)
def test_refused_examples(body, message):
    with pytest.raises(ServingError, match=message) as raised:
        read_examples(parse(body))
    assert raised.value.code == "INVALID_ARGUMENT"


def test_results():
    labels = np.array([[b"a", b"b"], [b"c", b"\xff"]], object)
    scores = np.array([[0.5, 1], [0.1, 2]], "float32")
    assert write_classifications(labels, scores) == (
        b'{\n    "results": [[["a", 0.5], ["b", 1.0]], [["c", 0.1], ["\xff", 2.0]]\n'
        b"    ]\n}"
    )
    assert b'[["a", 0.0], ["b", 0.0]]' in write_classifications(labels, None)
    assert b'[["", 0.5], ["", 1.0]]' in write_classifications(None, scores)
    assert write_regressions(scores[:, :1]) == b'{\n    "results": [0.5, 0.1]\n}'
