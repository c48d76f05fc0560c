"""The table of request forms: what becomes a tensor, and what is refused how."""

import time

import numpy as np
import pytest
import tensorflow as tf

from keras_performer.server.json.parser import parse
from keras_performer.server.json.tensor import (
    COLUMNAR,
    ROW,
    check_object,
    get_signature_name,
    read_inputs,
)
from keras_performer.server.serving_error import ServingError

INT = {"x": tf.int32}
FLOAT = {"x": tf.float32}
DOUBLE = {"x": tf.float64}
STRING = {"x": tf.string}
NAMED = {"i": tf.int32, "s": tf.string}


def error_of(body, dtypes):
    with pytest.raises(ServingError) as raised:
        read_inputs(parse(body), dtypes)
    return raised.value


@pytest.mark.parametrize(
    ("body", "dtypes", "expected"),
    [
        (b'{"instances": [[1,2],[3,4],[5,6]]}', INT, [[1, 2], [3, 4], [5, 6]]),
        (b'{"instances": [1, 2.0, 5.003, 0]}', FLOAT, [1, 2, 5.003, 0]),
        (b'{"instances": [1.0, 2, 0.662]}', DOUBLE, [1, 2, 0.662]),
        (
            b'{"instances": [NaN, Infinity, -Infinity]}',
            FLOAT,
            [np.nan, np.inf, -np.inf],
        ),
        (b'{"instances": ["foo", "b\\u00e9"]}', STRING, [b"foo", b"b\xc3\xa9"]),
        (b'{"instances": ["a\xff"]}', STRING, [b"a\xff"]),
        (b'{"instances": [{"b64": "aGVsbG8="}, "x"]}', STRING, [b"hello", b"x"]),
        (b'{"instances": [[{"b64": "aGVsbG8"}]]}', STRING, [[b"hello"]]),
        (b'{"instances": [{"x": [1]}, {"x": [2]}]}', INT, [[1], [2]]),
        (b'{"instances": [true, false]}', {"x": tf.bool}, [True, False]),
        (b'{"instances": [[], []]}', INT, np.zeros((2, 0))),
        (b'{"instances": [300, -1]}', {"x": tf.uint8}, [44, 255]),
        (b'{"instances": [16777215]}', FLOAT, [16777215]),
        # rounded, to infinity if need be
        (b'{"instances": [16777217, 1e39, -1e39]}', FLOAT, [2**24, np.inf, -np.inf]),
        (b'{"instances": [{"x": 16777217}]}', FLOAT, [2**24]),
        (b'{"instances": [9007199254740993]}', DOUBLE, [2**53]),
        (b'{"instances": [Inf, -Inf]}', FLOAT, [np.inf, -np.inf]),
        (b'{"instances": [10e308]}', DOUBLE, [np.inf]),
        (b'{"instances": [18446744073709551616]}', FLOAT, [2.0**64]),
        # all values of repeated keys come after another, and the first of them count
        (b'{"instances": [{"x": 1, "x": 2}, {"x": 3}]}', INT, [1, 2]),
        (b'{"instances": [{"x\\u0000y": 1}]}', INT, [1]),
        (b'{"instances": [3.4028234663852886e38]}', FLOAT, [3.4028234663852886e38]),
        (
            b'{"instances": [18446744073709551615]}',
            {"x": tf.uint64},
            [18446744073709551615],
        ),
        (
            b'{"instances": [-9223372036854775808]}',
            {"x": tf.int64},
            [-9223372036854775808],
        ),
        # 20 digits no longer fit an integer and are a decimal
        (b'{"instances": [20000000000000000000]}', DOUBLE, [2e19]),
    ],
)
def test_row_format_of_one_input(body, dtypes, expected):
    request_format, arrays = read_inputs(parse(body), dtypes)
    assert request_format == ROW
    dtype = dtypes["x"].as_numpy_dtype
    assert arrays["x"].dtype == dtype
    np.testing.assert_array_equal(arrays["x"], np.array(expected, dtype))


@pytest.mark.parametrize(
    ("body", "dtypes", "expected"),
    [
        (b'{"inputs": [[1, 2], [3, 4]]}', INT, [[1, 2], [3, 4]]),
        (b'{"inputs": {"x": [[1, 2], [3, 4]]}}', INT, [[1, 2], [3, 4]]),
        (b'{"inputs": {"x": [1], "other": "ignored"}}', INT, [1]),
        (b'{"inputs": {"x": [1], "x": [2]}}', INT, [1]),
        (b'{"inputs": 5}', INT, 5),
        (b'{"inputs": []}', INT, np.zeros(0)),
        (b'{"inputs": "text"}', STRING, b"text"),
        (b'{"inputs": {"b64": "aGVsbG8="}}', STRING, b"hello"),
    ],
)
def test_columnar_format_of_one_input(body, dtypes, expected):
    request_format, arrays = read_inputs(parse(body), dtypes)
    assert request_format == COLUMNAR
    dtype = dtypes["x"].as_numpy_dtype
    np.testing.assert_array_equal(arrays["x"], np.array(expected, dtype))


def test_row_format_of_several_inputs():
    body = b'{"instances": [{"i": [1,2], "s": "a"}, {"s": "b", "i": [3,4]}]}'
    _, arrays = read_inputs(parse(body), NAMED)
    np.testing.assert_array_equal(arrays["i"], [[1, 2], [3, 4]])
    np.testing.assert_array_equal(arrays["s"], np.array([b"a", b"b"], object))


def test_columnar_format_of_several_inputs_with_different_batch_sizes():
    body = b'{"inputs": {"i": [[1],[2],[3]], "s": {"b64": "aGVsbG8="}}}'
    _, arrays = read_inputs(parse(body), NAMED)
    assert arrays["i"].shape == (3, 1)
    assert arrays["s"].shape == ()
    assert arrays["s"].item() == b"hello"


@pytest.mark.parametrize(
    ("body", "dtypes", "message"),
    [
        (
            b'{"instances": [1], "inputs": [1]}',
            INT,
            "Not formatted correctly expecting",
        ),
        (b"{}", INT, "Missing 'inputs' or 'instances' key"),
        (b'{"instances": 5}', INT, "Expecting 'instances' to be an list/array"),
        (b'{"instances": []}', INT, "No values in 'instances' array"),
        (b'{"instances": [[1,2],[3,4,5]]}', INT, "Expecting tensor size: 2 but got: 3"),
        (b'{"instances": [[1,2],[[3,4]]]}', INT, "Expecting shape [2] but got: [1,2]"),
        (b'{"instances": [1, [1]]}', INT, "Expecting shape [] but got: ["),
        (
            b'{"instances": [[[1],[2,3]]]}',
            INT,
            "Encountered list at unexpected size: 2 at",
        ),
        (
            b'{"instances": [[1,[2]]]}',
            INT,
            "Encountered list at unexpected level: 1 expe",
        ),
        (
            b'{"instances": [[[1],2]]}',
            INT,
            "JSON Value: 2 found at incorrect level: 2 in",
        ),
        (
            b'{"instances": ["a"]}',
            INT,
            'Value: "a" Type: String is not of expected type',
        ),
        (
            b'{"instances": [1.0]}',
            INT,
            "Value: 1.0 Type: Number is not of expected type",
        ),
        (b'{"instances": [0.1]}', INT, "JSON Value: 0.1 Type: Number"),
        (b'{"instances": [NaN]}', INT, "JSON Value:  Type: Number"),
        (b'{"instances": [true]}', INT, "JSON Value: true Type: True"),
        (
            b'{"instances": [false]}',
            FLOAT,
            "Type: False is not of expected type: float",
        ),
        (
            b'{"instances": [null]}',
            DOUBLE,
            "Type: Null is not of expected type: double",
        ),
        (b'{"instances": [1]}', STRING, "Type: Number is not of expected type: string"),
        (b'{"instances": [2147483648]}', INT, "is not of expected type: int32"),
        (b'{"instances": [-1]}', {"x": tf.uint32}, "is not of expected type: uint32"),
        (b'{"instances": [{"y": 1}]}', INT, "does not have named input: y"),
        (b'{"instances": [{}]}', INT, "keys must be equal to: x"),
        (b'{"instances": [{"b64": "!!!!"}]}', STRING, "Unable to base64 decode"),
        (b'{"instances": [{"b64": 5}]}', STRING, "does not have named input: b64"),
        (b'{"instances": [{"b64": "", "x": ""}]}', STRING, "have named input: b64"),
        (
            b'{"inputs": [{"b64": 5}]}',
            STRING,
            "not formatted correctly for base64 data",
        ),
        (b'{"instances": [[{"a": 1}]]}', INT, "Type: Object is not of expected type"),
        (
            b'{"instances": ["a", {"x": "b"}]}',
            STRING,
            "Expecting value/list but got obj",
        ),
        (
            b'{"instances": [{"x": "b"}, "a"]}',
            STRING,
            "Expecting object but got list at",
        ),
        (b'{"instances": [{"x": 1, "x": ""}]}', INT, 'JSON Value: "" Type: String is '),
        (
            b'{"instances": [{"x": 1, "x": [2]}]}',
            INT,
            "Expecting shape [] but got: [",
        ),
        (
            b'{"instances": [{"b64": "", "b64": ""}]}',
            STRING,
            "have named input: b64",
        ),
        (
            b'{"instances": 1, "instances": 2}',
            INT,
            '1,\n    "instances": 2\n} Expecting',
        ),
        (
            b'{"instances": [1]}',
            NAMED,
            "instances is a plain list, but expecting list of",
        ),
        (
            b'{"instances": [{"b64": ""}]}',
            NAMED,
            "input size does not match signature: 1",
        ),
        (b'{"instances": [{"i": 1}]}', NAMED, "keys must be equal to: i,s"),
        (
            b'{"inputs": [1]}',
            NAMED,
            "inputs is a plain value/list, but expecting an obj",
        ),
        (b'{"inputs": {"i": 1}}', NAMED, "Missing named input: s in 'inputs' object."),
        (b'{"inputs": {}}', INT, "Missing named input: x in 'inputs' object."),
        (b'{"inputs": ' + b"[" * 40 + b"]" * 40 + b"}", INT, "more than 32 deep"),
        (b'{"inputs": [' + b"9" * 400 + b"]}", DOUBLE, "Number too big to be stored"),
    ],
)
def test_refused_inputs(body, dtypes, message):
    error = error_of(body, dtypes)
    assert error.code == "INVALID_ARGUMENT"
    assert message in error.message


def test_an_error_in_a_row_tells_the_row_and_the_key():
    body = b'{"instances": [{"i": 1, "s": "a"}, {"i": "b", "s": "b"}]}'
    assert error_of(body, NAMED).message == (
        "Failed to process element: 1 key: i of 'instances' list. Error: "
        'INVALID_ARGUMENT: JSON Value: "b" Type: String is not of expected type: int32'
    )


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16, tf.uint16, tf.complex64])
def test_types_without_json_form(dtype):
    error = error_of(b'{"inputs": [1]}', {"x": dtype})
    assert error.code == "UNIMPLEMENTED"
    assert error.http_status == 501
    name = {"float16": "half"}.get(dtype.name, dtype.name)
    assert error.message == f"Conversion of JSON Value: 1 to type: {name}"


@pytest.mark.parametrize("dtype", [tf.resource, tf.variant])
def test_types_without_values(dtype):
    error = error_of(b'{"inputs": []}', {"x": dtype})
    assert error.code == "UNIMPLEMENTED"


def test_errors_print_lists_on_one_line_and_members_below_each_other():
    error = error_of(b'{"instances": {"a": [1, "x", {"b": {}}]}}', INT)
    assert error.message == (
        'JSON Value: {\n    "instances": {\n        "a": [1, "x", {\n'
        '                "b": {}\n            }]\n    }\n} '
        "Expecting 'instances' to be an list/array"
    )


def test_many_numbers_are_converted_without_a_loop_over_them():
    rows = [[n, n + 1] for n in range(200_000)]
    start = time.process_time()
    _, arrays = read_inputs({"instances": rows}, INT)
    assert time.process_time() - start < 0.5  # a loop takes more than a second
    np.testing.assert_array_equal(arrays["x"], np.array(rows, "int32"))


def test_a_wrong_row_is_found_and_named_among_many():
    rows = [1] * 200_000
    for wrong, message in (("x", "Type: String is not"), ([1], "Expecting shape []")):
        rows[150_000] = wrong
        start = time.process_time()
        with pytest.raises(ServingError) as raised:
            read_inputs({"instances": rows}, INT)
        assert time.process_time() - start < 0.5
        assert "Failed to process element: 150000 of" in raised.value.message
        assert message in raised.value.message
    rows[150_000] = {"x": 1}
    with pytest.raises(ServingError, match="got object at item 150000"):
        read_inputs({"instances": rows}, INT)
    named = [{"x": [1]}] * 70_000 + [{"x": [1, 2]}]
    with pytest.raises(ServingError, match=r"element: 70000 key: x .* size: 1 but"):
        read_inputs({"instances": named}, INT)


def test_rows_that_are_looked_at_one_by_one_join_the_others():
    rows = ["a"] * 70_000 + [{"b64": "YQ=="}]
    _, arrays = read_inputs({"instances": rows}, STRING)
    assert arrays["x"].tolist() == [b"a"] * 70_001


def test_the_time_limit_counts_while_values_are_converted():
    def too_late():
        raise ServingError("DEADLINE_EXCEEDED", "late")

    for document in (
        {"instances": [1, 2]},
        {"instances": [{"x": 1}, {"x": "2"}]},
        {"inputs": [1, "2"]},
        {"inputs": [[1]]},
    ):
        with pytest.raises(ServingError, match="late") as raised:
            read_inputs(document, INT, too_late)
        assert raised.value.code == "DEADLINE_EXCEEDED"


def test_signature_name():
    assert get_signature_name({}) == ""
    assert get_signature_name({"signature_name": "embed"}) == "embed"
    with pytest.raises(ServingError, match="key must be a string value"):
        get_signature_name({"signature_name": 5})


@pytest.mark.parametrize("document", [[], 5, "x", None])
def test_a_request_is_an_object(document):
    with pytest.raises(ServingError, match="Is not object"):
        check_object(document)
