"""Faults are told with the words and the offsets of TensorFlow Serving's parser."""

import pytest

from keras_performer.server.json import iterative
from keras_performer.server.json.parser import parse
from keras_performer.server.serving_error import ServingError

VALUE = "Invalid value."
NAME = "Missing a name for object member."
COLON = "Missing a colon after a name of object member."
MEMBER = "Missing a comma or '}' after an object member."
ELEMENT = "Missing a comma or ']' after an array element."
QUOTE = "Missing a closing quotation mark in string."
ESCAPE = "Invalid escape character in string."
HEX = "Incorrect hex digit after \\u escape in string."
PAIR = "The surrogate pair in string is invalid."
FRACTION = "Miss fraction part in number."
EXPONENT = "Miss exponent in number."


@pytest.mark.parametrize("piece", [9, 65_536])
@pytest.mark.parametrize(
    ("text", "message", "offset"),
    [
        ("[", VALUE, 1),
        ("[,]", VALUE, 1),
        ("[1, 2,]", VALUE, 6),
        ("[1,, 2]", VALUE, 3),
        ("[nul]", VALUE, 4),
        ("[trux]", VALUE, 4),
        ("[f", VALUE, 2),
        ("[True]", VALUE, 1),
        ("[Nan]", VALUE, 3),
        ("[-N]", VALUE, 3),
        ("[-]", VALUE, 2),
        ("[--1]", VALUE, 2),
        ("[-t]", VALUE, 2),
        ("[-.5]", VALUE, 2),
        ("[+1]", VALUE, 1),
        ("[.5]", VALUE, 1),
        ("[I]", VALUE, 2),
        ("[Infinit]", VALUE, 8),
        ("[-Infin", VALUE, 7),
        ("[Infx]", ELEMENT, 4),
        ("[NaNx]", ELEMENT, 4),
        ("[01]", ELEMENT, 2),
        ("[1_0]", ELEMENT, 2),
        ("[1}", ELEMENT, 2),
        ("[1 2]", ELEMENT, 3),
        ("[1", ELEMENT, 2),
        ('["a" "b"]', ELEMENT, 5),
        ("[[1], [2]", ELEMENT, 9),
        ("[1.]", FRACTION, 3),
        ("[-1.e5]", FRACTION, 4),
        ("[1e]", EXPONENT, 3),
        ("[1.5E+]", EXPONENT, 6),
        ("[1e-400, 1e-x]", EXPONENT, 12),
        ("[0.1.]", ELEMENT, 4),
        ("[1e3e]", ELEMENT, 4),
        ("{", NAME, 1),
        ("{,}", NAME, 1),
        ("{1: 2}", NAME, 1),
        ('{"a": 1,}', NAME, 8),
        ('{"a"}', COLON, 4),
        ('{"a" 1}', COLON, 5),
        ('{"a": }', VALUE, 6),
        ('{"a": 1 "b": 2}', MEMBER, 8),
        ('{"a": 1]', MEMBER, 7),
        ('{"a": [1], "b": 2 3}', MEMBER, 18),
        ('["a]', QUOTE, 4),
        ('["\x00"]', QUOTE, 2),
        ('{"a', QUOTE, 3),
        ('["a\nb"]', ESCAPE, 3),
        ('["a\\n\\x"]', ESCAPE, 5),
        ('["\\U0041"]', ESCAPE, 2),
        ('["\\', ESCAPE, 2),
        ('["\\u12"]', HEX, 2),
        ('["\\u0041\\u12g4"]', HEX, 8),
        ('["\\ud800\\u12"]', HEX, 2),
        ('["\\ud800"]', PAIR, 2),
        ('["\\ud800\\', PAIR, 2),
        ('["\\ud800\\n\\udc00"]', PAIR, 2),
        ('["\\ud800\\u0041"]', PAIR, 2),
        ('["\\ud800\\ud800\\udc00"]', PAIR, 2),
        ('["\\ud83d\\ude00\\ud83d x', PAIR, 14),
    ],
)
def test_faults(text, message, offset, piece, monkeypatch):
    monkeypatch.setattr(iterative, "_PIECE", piece)
    for before in ("", "[null, [{}], "):
        with pytest.raises(ServingError) as raised:
            parse((before + text).encode())
        assert raised.value.message == (
            f"JSON Parse error: {message} at offset: {len(before) + offset}"
        )
