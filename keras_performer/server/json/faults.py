"""What is wrong with a JSON document, and where, as TensorFlow Serving tells it.

It reads a value from its first character on and stops at the first that does not fit;
of a string it names the escape sequence, of a number that is too big the number.
"""

import re

INVALID_VALUE = "Invalid value."
TOO_BIG = "Number too big to be stored in double."
UNPAIRED = "The surrogate pair in string is invalid."

_LITERALS = {word[0]: word for word in ("true", "false", "null", "NaN", "Infinity")}

_NUMBER = re.compile(r"-?[0-9]")

_INCOMPLETE_NUMBER = re.compile(
    r"-?(?:0|[1-9][0-9]*)"
    r"(?:(?P<point>\.)(?![0-9])|(?:\.[0-9]+)?[eE](?:[+-](?![0-9])|(?![-+0-9])))"
)

_PLAIN = re.compile(r'[^"\\\x00-\x1f]*')

_UNIT = re.compile(r"\\u([0-9a-fA-F]{4})")


class Fault(ValueError):
    """A document that is not JSON.

    Args:
        message: what is wrong, as the client will read it.
        position: number of the characters before it.
    """

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.message = message
        self.position = position


def find_scalar_fault(text: str, position: int) -> Fault:
    """The fault of a value that cannot be read.

    Args:
        text: the document.
        position: where the value begins.

    >>> fault = find_scalar_fault("[nul]", 1)
    >>> fault.message, fault.position
    ('Invalid value.', 4)
    """
    if text[position : position + 1] == '"':
        return _find_string_fault(text, position)
    if _NUMBER.match(text, position):
        return Fault(TOO_BIG, position)
    is_negative = text[position : position + 1] == "-"
    word = _LITERALS.get(text[position + is_negative : position + is_negative + 1], "")
    if is_negative and word[:1] in ("t", "f", "n"):
        word = ""
    position += is_negative
    return Fault(INVALID_VALUE, position + _count_common(text, position, word))


def find_constant_fault(text: str, end: int) -> Fault | None:
    """The fault of an `Inf` that goes on as `Infinity` would, and is none.

    Args:
        text: the document.
        end: where the constant ends.
    """
    if text[end - 3 : end] != "Inf" or text[end : end + 1] != "i":
        return None
    return Fault(INVALID_VALUE, end + _count_common(text, end, "inity"))


def find_number_fault(text: str, position: int) -> Fault | None:
    """The fault of a value, if it is a number that lacks something at its end.

    Args:
        text: the document.
        position: where the value begins.

    >>> find_number_fault("[1.]", 1).message
    'Miss fraction part in number.'
    """
    incomplete = _INCOMPLETE_NUMBER.match(text, position)
    if not incomplete:
        return None
    part = "fraction part" if incomplete["point"] else "exponent"
    return Fault(f"Miss {part} in number.", incomplete.end())


def _find_string_fault(text: str, position: int) -> Fault:
    position += 1
    while True:
        plain = _PLAIN.match(text, position)
        position = plain.end() if plain else position
        character = text[position : position + 1]
        if character in ("", "\0"):
            return Fault("Missing a closing quotation mark in string.", position)
        escaped = text[position + 1 : position + 2]
        if character == "\\" and escaped and escaped in '"\\/bfnrt':
            position += 2
            continue
        if character != "\\" or escaped != "u":
            return Fault("Invalid escape character in string.", position)
        if fault := _find_unit_fault(text, position):
            return fault
        position += 12 if _is_high(text, position) else 6


def _find_unit_fault(text: str, position: int) -> Fault | None:
    """The fault of a `\\u` escape, or of the pair that it begins."""
    is_high = _is_high(text, position)
    if is_high and text[position + 6 : position + 8] != "\\u":
        return Fault(UNPAIRED, position)
    last = _UNIT.match(text, position + 6 * is_high)
    if not last:
        return Fault("Incorrect hex digit after \\u escape in string.", position)
    if is_high and last[1][:2].lower() not in ("dc", "dd", "de", "df"):
        return Fault(UNPAIRED, position)
    return None


def _is_high(text: str, position: int) -> bool:
    unit = _UNIT.match(text, position)
    return unit is not None and unit[1][:2].lower() in ("d8", "d9", "da", "db")


def _count_common(text: str, position: int, word: str) -> int:
    """How many characters of a word the text has at a position."""
    count = 0
    while (
        count < len(word)
        and text[position + count : position + count + 1] == (word[count])
    ):
        count += 1
    return count
