"""`json_output`: standard output for JSON alone, messages on standard error."""

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from typing import Any


@contextlib.contextmanager
def json_output(is_json: bool) -> Iterator[Callable[[Any], None]]:
    """Gives a function that writes a value as a line of JSON to standard output.

    Args:
        is_json: Whether all that is printed otherwise, by whatever code, goes to
            standard error meanwhile.

    Returns:
        A context manager of the function.

    Example:

    >>> with json_output(True) as write:
    ...     print("This takes a minute.")  # on standard error
    ...     write({"label": "sea"})
    {"label": "sea"}
    """
    output = sys.stdout

    def write(value: Any) -> None:
        print(json.dumps(value), file=output, flush=True)

    with contextlib.redirect_stdout(sys.stderr if is_json else output):
        yield write
