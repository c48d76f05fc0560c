"""Request bytes to Python values, as strictly as TensorFlow Serving's JSON parser.

Python's own parser differs from it in what it lets through, and each difference is
settled here: of repeated keys the first counts, a number that overflows a double and an
unpaired surrogate escape are errors, and bytes that are not UTF-8 pass unchanged (they
travel inside `str` as lone low surrogates, which `encode_text` turns back). `NaN`,
`Infinity` and `-Infinity` are accepted by both.
"""

import json
import math
import re
from typing import Any

from keras_performer.server.serving_error import ServingError

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

# An escaped backslash is matched too: what follows it is no escape.
_SURROGATE = re.compile(r"\\\\|\\u([dD][89a-fA-F][0-9a-fA-F]{2})")

_BROKEN_NUMBER = re.compile(r"(?<=[0-9])(?:\.|[eE][+-]?)")

_STRING_OR_BRACKET = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[][{}]', re.DOTALL)

# What Python's parser says, and what TensorFlow Serving's says in the same place.
_PARSE_ERRORS = (
    ("Expecting value", "Invalid value."),
    ("Expecting property name", "Missing a name for object member."),
    ("Illegal trailing comma before end of array", "Invalid value."),
    ("Illegal trailing comma", "Missing a name for object member."),
    ("Expecting ':' delimiter", "Missing a colon after a name of object member."),
    ("Extra data", "The document root must not be followed by other values."),
    ("Unterminated string", "Missing a closing quotation mark in string."),
    ("Invalid \\uXXXX escape", "Incorrect hex digit after \\u escape in string."),
    ("Invalid \\escape", "Invalid escape character in string."),
    ("Invalid control character", "Invalid escape character in string."),
)


class RepeatedKeys(dict):
    """A JSON object that names a key twice; it holds the first value of each key."""


def parse(body: bytes) -> Any:
    """Parse a request body.

    Args:
        body: `bytes` of a JSON document.

    Returns:
        The document as `dict`, `list`, `str`, `int`, `float`, `bool` and `None`. An
        object with repeated keys is a `RepeatedKeys`.

    Raises:
        ServingError: `INVALID_ARGUMENT`, with the place and the cause in the document.

    >>> parse(b'{"instances": [1, NaN], "instances": []}')["instances"]
    [1, nan]
    """
    if not body:
        raise ServingError(
            "INVALID_ARGUMENT", "JSON Parse error: The document is empty"
        )
    text = body.removeprefix(_BYTE_ORDER_MARK).decode("utf-8", "surrogateescape")
    if not text.strip(" \t\r\n"):
        raise _parse_error("The document is empty.", text, len(text))
    _reject_unpaired_surrogates(text)
    try:
        return json.loads(
            text,
            object_pairs_hook=_keep_first,
            parse_float=lambda literal: _parse_float(literal, text),
        )
    except json.JSONDecodeError as error:
        message, position = _locate(error)
        raise _parse_error(message, text, position) from error
    except RecursionError as error:
        raise ServingError(
            "INVALID_ARGUMENT", "JSON Parse error: The document is nested too deeply."
        ) from error
    except ValueError as error:
        # Python refuses to convert integers of thousands of digits.
        raise ServingError(
            "INVALID_ARGUMENT",
            "JSON Parse error: Number too big to be stored in double.",
        ) from error


def encode_text(text: str) -> bytes:
    """The bytes of a string that came out of `parse`, exactly as they were sent.

    >>> encode_text(parse(b'["caf\\xc3\\xa9 \\xff"]')[0])
    b'caf\\xc3\\xa9 \\xff'
    """
    return text.encode("utf-8", "surrogateescape")


def _keep_first(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) == len(pairs):
        return members
    members = RepeatedKeys()
    for key, value in pairs:
        members.setdefault(key, value)
    return members


def _parse_float(literal: str, text: str) -> float:
    value = float(literal)
    if math.isinf(value):
        position = text.find(literal)
        raise _parse_error("Number too big to be stored in double.", text, position)
    return value


def _reject_unpaired_surrogates(text: str) -> None:
    high_end = None  # where a high surrogate ended that still waits for its low one
    for escape in _SURROGATE.finditer(text):
        unit = int(escape[1], 16) if escape[1] else 0
        is_low = unit >= 0xDC00
        if is_low != (high_end == escape.start()) or (high_end and not is_low):
            raise _parse_error(
                "The surrogate pair in string is invalid.", text, escape.start()
            )
        high_end = escape.end() if 0xD800 <= unit < 0xDC00 else None
    if high_end is not None:
        raise _parse_error("The surrogate pair in string is invalid.", text, high_end)


def _locate(error: json.JSONDecodeError) -> tuple[str, int]:
    """The message and the character position for a `json.JSONDecodeError`."""
    broken_number = _BROKEN_NUMBER.match(error.doc, error.pos)
    if broken_number:
        part = "fraction part" if broken_number[0] == "." else "exponent"
        return f"Miss {part} in number.", broken_number.end()
    if error.msg.startswith("Expecting ',' delimiter"):
        if _innermost_bracket(error.doc[: error.pos]) == "[":
            return "Missing a comma or ']' after an array element.", error.pos
        return "Missing a comma or '}' after an object member.", error.pos
    for python_message, message in _PARSE_ERRORS:
        if error.msg.startswith(python_message):
            return message, error.pos
    return error.msg, error.pos


def _innermost_bracket(text: str) -> str:
    """The bracket that is still open at the end of a well-formed beginning."""
    open_brackets = []
    for token in _STRING_OR_BRACKET.finditer(text):
        if token[0] in "[{":
            open_brackets.append(token[0])
        elif token[0] in "]}":
            open_brackets.pop()
    return open_brackets[-1]


def _parse_error(message: str, text: str, position: int) -> ServingError:
    offset = len(encode_text(text[:position]))
    return ServingError(
        "INVALID_ARGUMENT", f"JSON Parse error: {message} at offset: {offset}"
    )
