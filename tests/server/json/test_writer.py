"""The bytes of a response: numbers, text, and TensorFlow Serving's layout."""

import json

import numpy as np
import pytest

from keras_performer.server.json.writer import (
    write_columnar_format,
    write_decimals,
    write_error,
    write_row_format,
    write_string,
)
from keras_performer.server.serving_error import ServingError


@pytest.mark.cases("9000000-9e+06", "-inf--Infinity")
@pytest.mark.parametrize(
    ("value", "text"),
    [
        (9000000, "9e+06"),
        (999999, "999999.0"),
        (0.5, "0.5"),
        (0.0003, "0.0003"),
        (0.00003, "3e-05"),
        (555557.5, "555557.5"),
        (0.1, "0.1"),
        (1 / 3, "0.333333343"),
        (16777215, "16777215.0"),
        (3.4028234663852886e38, "3.40282347e+38"),
        (1e-45, "1.4013e-45"),
        (0, "0.0"),
        (-0.0, "-0.0"),
        (float("nan"), "NaN"),
        (float("inf"), "Infinity"),
        (float("-inf"), "-Infinity"),
    ],
)
def test_float32(value, text):
    assert write_decimals(np.array([value], "float32")) == [text.encode()]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1, "0.1"),
        (1 / 3, "0.33333333333333331"),
        (1e300, "1e+300"),
        (1.7976931348623157e308, "1.7976931348623157e+308"),
        (2.0, "2.0"),
    ],
)
def test_float64(value, text):
    assert write_decimals(np.array([value], "float64")) == [text.encode()]


def test_decimals_come_back_exactly():
    values = np.random.default_rng(3).standard_normal(2000).astype("float32")
    back = np.array([float(text) for text in write_decimals(values)], "float32")
    np.testing.assert_array_equal(back, values)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        (b"", b'""'),
        (b'a"b\\c/d', b'"a\\"b\\\\c/d"'),
        (b"\b\f\n\r\t\x00\x1f\x7f", b'"\\b\\f\\n\\r\\t\\u0000\\u001F\x7f"'),
        ("é€😀".encode(), '"é€😀"'.encode()),
        (b"\xff\xfe", b'"\xff\xfe"'),
    ],
)
def test_strings(text, written):
    assert write_string(text) == written


def test_row_format_of_one_output():
    assert write_row_format({"y": np.array([2.5, 3, 4.5], "float32")}) == (
        b'{\n    "predictions": [2.5, 3.0, 4.5\n    ]\n}'
    )
    assert write_row_format({"y": np.array([[[1, 2]], [[3, 4]]])}) == (
        b'{\n    "predictions": [[[1, 2]], [[3, 4]]\n    ]\n}'
    )


def test_row_format_without_rows():
    assert write_row_format({"y": np.zeros((0, 2))}) == b'{\n    "predictions": []\n}'


def test_row_format_of_several_outputs():
    outputs = {
        "probabilities": np.array([[0.25, 0.75], [1, 0]], "float32"),
        "label": np.array([b"a", b"b\n"], object),
    }
    assert write_row_format(outputs).decode() == (
        "{\n"
        '    "predictions": [\n'
        "        {\n"
        '            "label": "a",\n'
        '            "probabilities": [0.25, 0.75]\n'
        "        },\n"
        "        {\n"
        '            "label": "b\\n",\n'
        '            "probabilities": [1.0, 0.0]\n'
        "        }\n"
        "    ]\n"
        "}"
    )


def test_columnar_format():
    assert write_columnar_format({"y": np.array([[1], [2]])}).decode() == (
        '{\n    "outputs": [\n        [\n            1\n        ],\n'
        "        [\n            2\n        ]\n    ]\n}"
    )
    outputs = {"b": np.array(True), "a": np.array([7], "uint8")}
    assert write_columnar_format(outputs).decode() == (
        '{\n    "outputs": {\n        "a": [\n            7\n        ],\n'
        '        "b": true\n    }\n}'
    )


def test_outputs_whose_name_ends_in_bytes_are_base64():
    outputs = {"x_bytes": np.array([[b"hello", b"\xff"]], object)}
    assert write_row_format(outputs).decode() == (
        '{\n    "predictions": [[{\n'
        '                "b64": "aGVsbG8="\n            }, {\n'
        '                "b64": "/w=="\n            }]\n    ]\n}'
    )
    outputs["n_bytes"] = np.array([3])  # only strings are binary
    assert (
        write_row_format(outputs)
        .decode()
        .endswith(
            '            "x_bytes": [{\n                    "b64": "aGVsbG8="\n'
            '                }, {\n                    "b64": "/w=="\n'
            "                }]\n        }\n    ]\n}"
        )
    )
    [row] = json.loads(write_row_format(outputs))["predictions"]
    assert row == {"n_bytes": 3, "x_bytes": [{"b64": "aGVsbG8="}, {"b64": "/w=="}]}
    columns = json.loads(write_columnar_format(outputs))["outputs"]
    assert columns == {
        "n_bytes": [3],
        "x_bytes": [[{"b64": "aGVsbG8="}, {"b64": "/w=="}]],
    }


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({"y": np.array(1)}, "Tensor name: y has no shape information "),
        (
            {"a": np.zeros(0), "b": np.zeros(3)},
            "Tensor name: b has inconsistent batch size: 3 expecting: 0",
        ),
        (
            {"a": np.zeros(2), "b": np.zeros((3, 1))},
            "Tensor name: b has inconsistent batch size: 3 expecting: 2",
        ),
        ({"y": np.zeros(1, "complex64")}, "JSON value for tensor type: complex64"),
        ({"y": np.zeros(1, "float16")}, "JSON value for tensor type: half"),
        ({}, "Cannot convert empty tensor map to JSON"),
    ],
)
def test_outputs_without_row_format(outputs, message):
    with pytest.raises(ServingError, match=message) as raised:
        write_row_format(outputs)
    assert raised.value.code == "INVALID_ARGUMENT"


def test_outputs_without_values_are_of_any_type():
    outputs = {"y": np.zeros((1, 0), "float16")}
    assert json.loads(write_row_format(outputs)) == {"predictions": [[]]}
    assert json.loads(write_columnar_format(outputs)) == {"outputs": [[]]}


def test_there_is_an_output():
    with pytest.raises(ServingError, match="Cannot convert empty tensor map to JSON"):
        write_columnar_format({})


def test_columnar_format_takes_what_row_format_does_not():
    assert json.loads(write_columnar_format({"y": np.array(1.5)})) == {"outputs": 1.5}
    assert json.loads(write_columnar_format({"y": np.zeros((0, 2))})) == {"outputs": []}
    outputs = {"a": np.zeros(1), "b": np.zeros((2, 0))}
    assert json.loads(write_columnar_format(outputs)) == {
        "outputs": {"a": [0.0], "b": [[], []]}
    }


def test_errors_quote_bytes_as_they_were_sent():
    assert write_error('a "b"\n\udcff é') == (
        b'{\n    "error": "a \\"b\\"\\n\xff \xc3\xa9"\n}'
    )


def test_errors_are_valid_json_whatever_they_quote():
    message = 'a "quoted"\n\\path \ud800 é'
    assert json.loads(write_error(message)) == {"error": 'a "quoted"\n\\path \\ud800 é'}
