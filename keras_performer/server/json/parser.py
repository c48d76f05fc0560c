"""Request bytes to Python values, as TensorFlow Serving's JSON parser takes them.

Python's own parser differs from it in what it lets through, and each difference is
settled here: of repeated keys the first counts, a number that overflows a double and an
unpaired surrogate escape are errors, bytes that are not UTF-8 pass unchanged (they
travel inside `str` as lone low surrogates, which `encode_text` turns back), text after
the document is not looked at, lists may be nested to any depth, and `NaN`, `Infinity`
and `Inf` are numbers, with a minus too.
"""

import json
import math
import re
from collections.abc import Callable
from typing import Any

from keras_performer.server.json.iterative import parse_iteratively
from keras_performer.server.serving_error import ServingError

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

# An escaped backslash is matched too: what follows it is no escape.
_SURROGATE = re.compile(r"\\\\|\\u([dD][89a-fA-F][0-9a-fA-F]{2})")

_HAS_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")

_CONSTANT = re.compile(r"-?(?:NaN|Inf)")

# Python's parser holds the interpreter while it works: 50 ms for a million characters.
_LONG = 1_000_000

_BROKEN_NUMBER = re.compile(r"(?<=[0-9])(?:\.|[eE][+-]?)")

_STRING_OR_BRACKET = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[][{}]', re.DOTALL)

# What Python's parser says, and what TensorFlow Serving's says in the same place.
_PARSE_ERRORS = (
    ("Expecting value", "Invalid value."),
    ("Expecting property name", "Missing a name for object member."),
    ("Illegal trailing comma before end of array", "Invalid value."),
    ("Illegal trailing comma", "Missing a name for object member."),
    ("Expecting ':' delimiter", "Missing a colon after a name of object member."),
    ("Unterminated string", "Missing a closing quotation mark in string."),
    ("Invalid \\uXXXX escape", "Incorrect hex digit after \\u escape in string."),
    ("Invalid \\escape", "Invalid escape character in string."),
    ("Invalid control character", "Invalid escape character in string."),
)


class RepeatedKeys(dict):
    """A JSON object that names a key twice; it holds the first value of each key."""


def parse(body: bytes, check_deadline: Callable[[], None] = lambda: None) -> Any:
    """Parse a request body.

    Args:
        body: `bytes` of a JSON document.
        check_deadline: function that is called now and then in a long document and
            raises `ServingError` when the time of the request is over.

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
    start = len(text) - len(text.lstrip(" \t\r\n"))
    if start == len(text):
        raise _parse_error("The document is empty.", text, len(text))
    decoder = json.JSONDecoder(
        object_pairs_hook=_keep_first,
        parse_float=lambda literal: _parse_float(literal, text),
    )
    try:
        value, end = _parse(text, start, decoder, check_deadline)
    except json.JSONDecodeError as error:
        message, position = _locate(error)
        _reject_unpaired_surrogates(text, position)
        raise _parse_error(message, text, position) from error
    except ValueError as error:
        # Python refuses to convert integers of thousands of digits.
        raise ServingError(
            "INVALID_ARGUMENT",
            "JSON Parse error: Number too big to be stored in double.",
        ) from error
    _reject_unpaired_surrogates(text, end)
    return value


def _parse(
    text: str,
    start: int,
    decoder: json.JSONDecoder,
    check_deadline: Callable[[], None],
) -> tuple[Any, int]:
    """`(value, end)` of the document that begins at `start`."""
    if len(text) < _LONG:
        try:
            return decoder.raw_decode(text, start)
        except json.JSONDecodeError as error:
            if not _CONSTANT.match(text, error.pos):
                raise
        except RecursionError:
            pass
    try:
        return parse_iteratively(text, decoder, _keep_first, check_deadline)
    except ValueError as broken:
        try:  # this one knows what is wrong
            return decoder.raw_decode(text, start)
        except RecursionError:
            raise ServingError(
                "INVALID_ARGUMENT",
                f"JSON Parse error: The document is deep and not well-formed: {broken}",
            ) from broken


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


def _reject_unpaired_surrogates(text: str, end: int) -> None:
    if not _HAS_SURROGATE.search(text, 0, end):
        return
    high_end = None  # where a high surrogate ended that still waits for its low one
    for escape in _SURROGATE.finditer(text, 0, end):
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
