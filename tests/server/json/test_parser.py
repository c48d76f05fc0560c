"""Requests are parsed as strictly as TensorFlow Serving parses them."""

import math

import pytest

from keras_performer.server.json.parser import RepeatedKeys, encode_text, parse
from keras_performer.server.serving_error import ServingError


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'[1, -2.5, "x", true, false, null]', [1, -2.5, "x", True, False, None]),
        (b" \t\r\n{}\n", {}),
        (b"\xef\xbb\xbf{}", {}),
        (b'["\\u00e9 \\ud83d\\ude00"]', ["é 😀"]),
        (b'["\\\\ud800"]', ["\\ud800"]),
        (b'["\\u12ab\\ud83d\\ude00\\u0041"]', ["\u12ab😀A"]),
        ('["€"]'.encode(), ["€"]),
        (b"[18446744073709551615, -9223372036854775808]", [2**64 - 1, -(2**63)]),
        (b"[1e308, 4.9e-324]", [1e308, 5e-324]),
        (b"[1e308, 1e-400, 10e308, -10e308]", [1e308, 0.0, math.inf, -math.inf]),
        (b"[0.001e310, -0, -0.0]", [1e307, 0, 0.0]),
        (b"[18446744073709551616, -9223372036854775809]", [2.0**64, -(2.0**63)]),
        (b"[" + b"9" * 25 + b"]", [9.999999999999999e24]),
        (b"[123456789012345678901234567890]", [1.2345678901234566e29]),
    ],
)
def test_valid_documents(body, value):
    assert parse(body) == value


def test_numbers_json_does_not_have():
    nan, positive, negative = parse(b"[NaN, Infinity, -Infinity]")
    assert math.isnan(nan)
    assert (positive, negative) == (math.inf, -math.inf)


def test_numbers_in_the_short_form():
    values = parse(b'{"a": [1, Inf, -Inf, NaN, -NaN], "b": -Inf}')
    assert values["a"][:3] == [1, math.inf, -math.inf]
    assert all(map(math.isnan, values["a"][3:]))
    assert values["b"] == -math.inf


@pytest.mark.parametrize("rest", [b"x", b" {}", b"]", b'"\\ud800', b"\x00"])
def test_text_after_the_document_is_not_looked_at(rest):
    assert parse(b" {} " + rest) == {}


def test_lists_may_be_nested_to_any_depth():
    document = parse(b'{"a": ' + b"[" * 50_000 + b"]" * 50_000 + b', "b": 1}')
    assert document["b"] == 1
    depth = 0
    value = document["a"]
    while value:
        [value] = value
        depth += 1
    assert depth == 49_999


def test_the_first_of_repeated_keys_counts():
    document = parse(b'{"a": 1, "b": {"c": 2}, "a": 3}')
    assert document == {"a": 1, "b": {"c": 2}}
    assert isinstance(document, RepeatedKeys)
    assert not isinstance(document["b"], RepeatedKeys)


@pytest.mark.parametrize("mark", [b"\xef", b"\xef\xbb", b"\xbf", b"\xef\xbf"])
def test_each_byte_of_a_byte_order_mark_may_be_missing(mark):
    assert parse(mark + b"{}") == {}


def test_a_low_surrogate_alone_is_three_bytes():
    body = b'["\\udc00", "\\udc80 \xff\\ud83d\\ude00", "\\\\udc00"] \\ud800'
    assert [encode_text(value) for value in parse(body)] == [
        b"\xed\xb0\x80",
        b"\xed\xb2\x80 \xff\xf0\x9f\x98\x80",
        b"\\udc00",
    ]


def test_all_of_repeated_keys_are_there():
    assert parse(b'{"a": 1, "b": 2, "a": 3}').pairs == [("a", 1), ("b", 2), ("a", 3)]


@pytest.mark.parametrize("text", [b"caf\xe9", b"\xff\xfe", b"\xed\xa0\x80"])
def test_bytes_that_are_not_utf8_come_through(text):
    [value] = parse(b'["' + text + b'"]')
    assert encode_text(value) == text


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "The document is empty"),
        (b"  \n", "The document is empty. at offset: 3"),
        (b"\xef\xbb\xbf", "The document is empty. at offset: 3"),
        (b" ]", "The document is empty. at offset: 1"),
        (b"\x00{}", "The document is empty. at offset: 0"),
        (b"instances = [1]", "Invalid value. at offset: 0"),
        (b"\x1f\x8b\x08\x00", "Invalid value. at offset: 0"),
        (b"\xef\xbb\xbf{", "Missing a name for object member. at offset: 4"),
        (b"[" * 100_000, "Invalid value. at offset: 100000"),
        (b"[" * 100_000 + b"}", "Invalid value. at offset: 100000"),
        (b"[1e999]", "Number too big to be stored in double. at offset: 1"),
        (b"[1e309, -1e999]", "Number too big to be stored in double. at offset: 1"),
        (b"[1e1, -1E+309]", "Number too big to be stored in double. at offset: 6"),
        (b"[0e309]", "Number too big to be stored in double. at offset: 1"),
        (b'{"a": ' + b"9" * 5000 + b"}", "Number too big to be stored in double. at "),
        (
            b"[1, " + b"9" * 309 + b"]",
            "Number too big to be stored in double. at offse",
        ),
        (
            b"[" + b"1" * 310 + b".5]",
            "Number too big to be stored in double. at offset",
        ),
        (
            '{"é" 1}'.encode(),
            "Missing a colon after a name of object member. at offset: 6",
        ),
        (b'["\\udc00", 1e]', "Miss exponent in number. at offset: 13"),
        (b'["\\ud800", x]', "The surrogate pair in string is invalid. at offset: 2"),
    ],
)
def test_invalid_documents(body, message):
    with pytest.raises(ServingError) as raised:
        parse(body)
    assert raised.value.code == "INVALID_ARGUMENT"
    assert raised.value.message.startswith("JSON Parse error: " + message)
