"""Request bytes to Python values, as TensorFlow Serving's JSON parser takes them.

Python's own parser differs from it in what it lets through, and each difference is
settled here: of repeated keys the first counts, a number that overflows a double and a
high surrogate escape without its low one are errors, a low one alone and bytes that are
not UTF-8 pass unchanged (they travel inside `str` as lone low surrogates, which
`encode_text` turns back), text after the document is not looked at, lists may be nested
to any depth, and `NaN`, `Infinity` and `Inf` are numbers, with a minus too.
"""

import contextlib
import json
import math
import re
from collections.abc import Callable
from typing import Any

from keras_performer.server.json.faults import TOO_BIG, UNPAIRED, Fault
from keras_performer.server.json.iterative import parse_iteratively
from keras_performer.server.serving_error import ServingError

_BYTE_ORDER_MARK = re.compile(rb"\xef?\xbb?\xbf?")

# An escaped backslash is matched too: what follows it is no escape.
_SURROGATES = re.compile(
    r"\\\\"
    r"|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|\\u(?P<high>[dD][89abAB][0-9a-fA-F]{2})"
    r"|\\u(?P<low>[dD][c-fC-F][0-9a-fA-F]{2})"
)

_HAS_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")

# Python's parser holds the interpreter while it works: 50 ms for a million characters.
_LONG = 1_000_000

# What only a document with a very large number has, when its digits are all zeros.
_PROBE = bytes.maketrans(b"123456789+E", b"0000000000e")
_LARGE_EXPONENT = b"e000"
_MORE_THAN_64_BITS = b"0" * 19
_LARGEST_DOUBLE = b"0" * 309

_MOST_EXPONENT = 308  # of a double

_DOUBLE = re.compile(r"(-?[0-9]+)(?:\.([0-9]+))?(?:[eE]\+?([0-9]+))?")


class RepeatedKeys(dict):
    """A JSON object that names a key twice; it holds the first value of each key.

    Attributes:
        pairs: list of `(key, value)` of all that it has.
    """

    pairs: list[tuple[str, Any]]


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
    mark = _BYTE_ORDER_MARK.match(body)
    start = mark.end() if mark else 0
    text = body[start:].decode("utf-8", "surrogateescape")
    decoder = _get_decoder(body)
    try:
        return _parse(text, decoder, check_deadline)
    except Fault as fault:
        offset = start + len(encode_text(text[: fault.position]))
        raise ServingError(
            "INVALID_ARGUMENT",
            f"JSON Parse error: {fault.message} at offset: {offset}",
        ) from fault


def _parse(
    text: str, decoder: json.JSONDecoder, check_deadline: Callable[[], None]
) -> Any:
    try:
        value, end = _parse_document(text, decoder, check_deadline)
    except Fault as fault:
        _find_lone_surrogates(text, fault.position)  # the first fault is told
        raise
    if not _find_lone_surrogates(text, end):
        return value
    text = _SURROGATES.sub(_write_low_surrogate, text[:end])
    return _parse_document(text, decoder, check_deadline)[0]


def _parse_document(
    text: str, decoder: json.JSONDecoder, check_deadline: Callable[[], None]
) -> tuple[Any, int]:
    """`(value, end)` of the document at the beginning of the text."""
    start = len(text) - len(text.lstrip(" \t\r\n"))
    if text[start : start + 1] in ("", *",:]}\0"):
        raise Fault("The document is empty.", start)
    if len(text) < _LONG:
        # What it cannot read may be deep, or have an `Inf`.
        with contextlib.suppress(ValueError, RecursionError):
            return decoder.raw_decode(text, start)
    return parse_iteratively(text, decoder, _keep_first, check_deadline)


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
    members.pairs = pairs
    for key, value in pairs:
        members.setdefault(key, value)
    return members


def _parse_double(literal: str) -> float:
    match = _DOUBLE.match(literal)
    whole, fraction, exponent = match.groups(default="") if match else (literal, "", "")
    # Without the point, what the digits are multiplied by is to be finite.
    if math.isinf(float(whole)) or int(exponent or 0) - len(fraction) > _MOST_EXPONENT:
        raise ValueError(TOO_BIG)
    return float(literal)


def _parse_integer(literal: str) -> int | float:
    """An integer of 64 bits, or a double, rounded as TensorFlow Serving rounds it."""
    limit = 2**63 if literal.startswith("-") else 2**64 - 1
    digits = [int(digit) for digit in literal.removeprefix("-")]
    value: int | float = 0
    for digit in digits:
        following = 10 * value + digit
        if following > limit:
            value = float(value)
            following = 10 * value + digit
            if math.isinf(following):
                raise ValueError(TOO_BIG)
        value = following
    return -value if literal.startswith("-") else value


_DECODER = json.JSONDecoder(object_pairs_hook=_keep_first)
_DECODER_OF_LARGE_INTEGERS = json.JSONDecoder(
    object_pairs_hook=_keep_first, parse_int=_parse_integer
)
_DECODER_OF_LARGE_NUMBERS = json.JSONDecoder(
    object_pairs_hook=_keep_first, parse_int=_parse_integer, parse_float=_parse_double
)


def _get_decoder(body: bytes) -> json.JSONDecoder:
    """The fastest that reads all numbers: calling Python for each takes most time."""
    probe = body.translate(_PROBE)
    if b"000" not in probe:  # found out soon in a text
        return _DECODER
    if _LARGE_EXPONENT in probe or _LARGEST_DOUBLE in probe:
        return _DECODER_OF_LARGE_NUMBERS
    if _MORE_THAN_64_BITS in probe:
        return _DECODER_OF_LARGE_INTEGERS
    return _DECODER


def _find_lone_surrogates(text: str, end: int) -> bool:
    """Refuse a high surrogate alone; tell whether there is a low one alone."""
    if not _HAS_SURROGATE.search(text, 0, end):
        return False
    has_low = False
    for escape in _SURROGATES.finditer(text, 0, end):
        if escape["high"]:
            raise Fault(UNPAIRED, escape.start())
        has_low = has_low or bool(escape["low"])
    return has_low


def _write_low_surrogate(escape: re.Match[str]) -> str:
    """A low surrogate alone as the three bytes that TensorFlow Serving makes of it."""
    if not escape["low"]:
        return escape[0]
    encoded = chr(int(escape["low"], 16)).encode("utf-8", "surrogatepass")
    return encoded.decode("utf-8", "surrogateescape")
