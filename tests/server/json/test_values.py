"""One JSON value becomes one element of a tensor, without loss or not at all."""

import pytest
import tensorflow as tf

from keras_performer.server.json.parser import RepeatedKeys, parse
from keras_performer.server.json.values import (
    get_converter,
    is_object,
    json_type,
    to_text,
)
from keras_performer.server.serving_error import ServingError


@pytest.mark.parametrize(
    ("dtype", "value", "element"),
    [
        (tf.int32, 2**31 - 1, 2**31 - 1),
        (tf.int8, 300, 300),  # wraps in the tensor, as in TensorFlow Serving
        (tf.float32, 2**24 + 1, 2.0**24 + 1),  # rounded in the tensor
        (tf.float64, 1e300, 1e300),
        (tf.string, "é", b"\xc3\xa9"),
        (tf.string, {"b64": "aGVs bG8"}, b"hello"),
        (tf.string, {"b64": "YQ.."}, b"a"),
        (tf.string, {"b64": "Y\vQ =.\n"}, b"a"),
        (tf.bool, False, False),
    ],
)
def test_a_value_that_fits(dtype, value, element):
    converted = get_converter(dtype)(value)
    assert converted == element
    assert type(converted) is type(element)


@pytest.mark.parametrize(
    ("dtype", "value", "message"),
    [
        (tf.int32, 2**31, "of expected type: int32"),
        (tf.int32, True, "Type: True is not of expected type: int32"),
        (tf.uint64, -1, "of expected type: uint64"),
        (tf.float64, "1", "Type: String is not of expected type: double"),
        (tf.string, 1, "Type: Number is not of expected type: string"),
        (tf.string, {"b64": "?"}, "Unable to base64 decode"),
        (tf.string, {"b64": "YQ="}, "Unable to base64 decode"),
        (tf.string, {"b64": "YWJj="}, "Unable to base64 decode"),
        (tf.string, {"b64": "YQ==YQ=="}, "Unable to base64 decode"),
        (tf.string, {"b64": "Y"}, "Unable to base64 decode"),
        (tf.bool, 0, "Type: Number is not of expected type: bool"),
    ],
)
def test_a_value_that_does_not_fit(dtype, value, message):
    with pytest.raises(ServingError, match=message) as raised:
        get_converter(dtype)(value)
    assert raised.value.code == "INVALID_ARGUMENT"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({}, True),
        ({"b64": "aGVsbG8="}, False),
        ({"b64": 5}, True),
        ({"b64": "", "x": 1}, True),
        (RepeatedKeys(b64=""), True),
        ([], False),
        ("{}", False),
    ],
)
def test_objects_are_not_base64_strings(value, expected):
    assert is_object(value) is expected


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (b"null", "Null"),
        (b"true", "True"),
        (b"false", "False"),
        (b"0", "Number"),
        (b"0.5", "Number"),
        (b'""', "String"),
        (b"[]", "Array"),
        (b'{"a": 1}', "Object"),
        (b'{"a": 1, "a": 2}', "Object"),
    ],
)
def test_types_have_names(body, name):
    assert json_type(parse(body)) == name


def test_a_long_value_is_cut_off_in_messages():
    assert to_text(parse(b'{"a": 1, "a": 2}')) == '{\n    "a": 1,\n    "a": 2\n}'
    text = to_text(["x" * 100] * 1000)
    assert text == '["' + '", "'.join(["x" * 100] * 3) + '"'
    assert len(to_text("x" * 20_000)) == 10_005
    assert to_text([[1]] * 1000).endswith("[1], [")


@pytest.mark.parametrize(
    "text",
    ["1.0", "0.1", "-2.5", "1e30", "1.5e-7", "0.000001", "1.7976931348623157e308"]
    + ["100000000000000000000.0", "1e21", "0.0", "-0.0", "1.234e22", "12.34"],
)
def test_decimals_in_messages(text):
    assert to_text(float(text)) == text


def test_a_number_that_is_none_ends_a_message():
    assert to_text([1.5, float("nan"), 2]) == "[1.5, "
