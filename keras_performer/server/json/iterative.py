"""A JSON parser that is not recursive and lets other threads run meanwhile.

Python's own parser is fast, but holds the interpreter until it is done, and gives up
on deep documents. This one walks the outer brackets itself and leaves strings and long
runs of elements, a piece at a time, to Python's. It also reads `Inf` and `-NaN`, which
TensorFlow Serving's parser takes, and finds the fault that it finds in a bad document.
"""

import json
import math
import re
from collections.abc import Callable
from typing import Any

from keras_performer.server.json.faults import (
    Fault,
    find_constant_fault,
    find_number_fault,
    find_scalar_fault,
)

_SPACE = re.compile(r"[ \t\r\n]*")

_PIECE = 65_536  # characters that are read at a time

_RUN_OF_SCALARS = re.compile(r'[^"\[\]{}]+')


def _make_run_of_elements(depth: int) -> re.Pattern[str]:
    """What matches elements of a list, with at most so many brackets in each other.

    Each part begins with a character of its own, so that there is one way to match, and
    what does not match is found out in one pass.
    """
    string = r'"[^"\\]*(?:\\.[^"\\]*)*"'
    inner = string
    for _ in range(depth):
        inside = rf'[^"\[\]{{}}]*(?:(?:{inner})[^"\[\]{{}}]*)*'
        inner = rf"{string}|\[{inside}\]|\{{{inside}\}}"
    return re.compile(rf"(?:(?:{inner})[ \t\r\n]*,[ \t\r\n]*)+", re.DOTALL)


_RUN_OF_ELEMENTS = _make_run_of_elements(depth=3)

_CONSTANT = re.compile(r"(-?)(NaN|Inf(?:inity)?)")


def parse_iteratively(
    text: str,
    decoder: json.JSONDecoder,
    make_object: Callable[[list[tuple[str, Any]]], Any],
    check_deadline: Callable[[], None],
) -> tuple[Any, int]:
    """Parse the JSON value at the beginning of a text.

    Args:
        text: the document; what follows the value is not looked at.
        decoder: reads the values without brackets. It raises `ValueError` for what is
            no JSON, and for a number that is too big.
        make_object: function from the `(key, value)` pairs of an object to its value.
        check_deadline: function that is called now and then and raises when time is up.

    Returns:
        `(value, end)`: the value, and the position behind it.

    Raises:
        Fault: the text does not begin with a JSON value.

    >>> parse_iteratively('[1, {"a": -Inf}] rest', json.JSONDecoder(), dict, int)
    ([1, {'a': -inf}], 16)
    """
    open_ones: list[tuple[list[Any], str | None]] = []  # a list, or pairs and a key
    position = _skip_space(text, 0)
    count = 0
    slow_until = 0  # what lies before could not be read as a run
    while True:
        count += 1
        if count % 4096 == 0:
            check_deadline()
        character = text[position : position + 1]
        if open_ones and open_ones[-1][1] is None and position >= slow_until:
            end = _find_run(text, position)
            if end > position:
                check_deadline()
                read = _read_run(text[position:end], decoder)
                if read is not None:
                    open_ones[-1][0].extend(read)
                    position = end
                    continue
            slow_until = position + _PIECE if end > position else position + 1
        if character == "[":
            position = _skip_space(text, position + 1)
            if text[position : position + 1] != "]":
                open_ones.append(([], None))
                continue
            value: Any = []
            position += 1
        elif character == "{":
            position = _skip_space(text, position + 1)
            if text[position : position + 1] != "}":
                key, position = _read_key(text, position, decoder)
                open_ones.append(([], key))
                continue
            value = make_object([])
            position += 1
        else:
            value, position = _read_scalar(text, position, decoder)
        while open_ones:
            container, open_key = open_ones[-1]
            container.append(value if open_key is None else (open_key, value))
            position = _skip_space(text, position)
            character = text[position : position + 1]
            position += 1
            if character == ",":
                position = _skip_space(text, position)
                if open_key is not None:
                    open_key, position = _read_key(text, position, decoder)
                    open_ones[-1] = (container, open_key)
                break
            if character != ("]" if open_key is None else "}"):
                raise Fault(
                    "Missing a comma or ']' after an array element."
                    if open_key is None
                    else "Missing a comma or '}' after an object member.",
                    position - 1,
                )
            open_ones.pop()
            value = container if open_key is None else make_object(container)
        else:
            return value, position


def _skip_space(text: str, position: int) -> int:
    found = _SPACE.match(text, position)
    return found.end() if found else position


def _read_key(text: str, position: int, decoder: json.JSONDecoder) -> tuple[str, int]:
    if text[position : position + 1] != '"':
        raise Fault("Missing a name for object member.", position)
    key, position = _read_scalar(text, position, decoder)
    position = _skip_space(text, position)
    if text[position : position + 1] != ":":
        raise Fault("Missing a colon after a name of object member.", position)
    return key, _skip_space(text, position + 1)


def _find_run(text: str, position: int) -> int:
    """Behind which comma some elements of a list end; `position` if there are none."""
    end = position + _PIECE
    if text[position : position + 1] in ('"', "[", "{"):
        run = _RUN_OF_ELEMENTS.match(text, position, end)
        return _skip_space(text, run.end()) if run else position
    run = _RUN_OF_SCALARS.match(text, position, end)
    last = run[0].rfind(",") if run else -1
    return _skip_space(text, position + last + 1) if last > 0 else position


def _read_run(run: str, decoder: json.JSONDecoder) -> list[Any] | None:
    try:
        return decoder.decode(f"[{run.rstrip()[:-1]}]")
    except ValueError:  # it may have an `Inf`
        return None


def _read_scalar(
    text: str, position: int, decoder: json.JSONDecoder
) -> tuple[Any, int]:
    constant = _CONSTANT.match(text, position)
    if constant:
        if fault := find_constant_fault(text, constant.end()):
            raise fault
        value = math.nan if constant[2] == "NaN" else math.inf
        return -value if constant[1] else value, constant.end()
    try:
        read = decoder.raw_decode(text, position)
    except ValueError as error:
        raise find_scalar_fault(text, position) from error
    if fault := find_number_fault(text, position):
        raise fault
    return read
