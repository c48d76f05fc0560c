"""One line on standard error for each request, without its body."""

import contextlib
import itertools
import json
import sys
import time
from dataclasses import asdict, dataclass
from typing import TextIO

FORMS = ("", "text", "json")  # the first writes nothing

_MAX_PATH = 200


@dataclass(frozen=True)
class AccessRecord:
    """What is told of a request.

    Args:
        client: address of the client.
        method: HTTP method.
        path: path of the URL.
        status: HTTP status of the answer; 499 where the client left.
        request_bytes: size of the body as it was sent.
        answer_bytes: size of the body of the answer.
        milliseconds: from the arrival of the request until its answer is handed over.
    """

    client: str
    method: str
    path: str
    status: int
    request_bytes: int
    answer_bytes: int
    milliseconds: float


class AccessLog:
    """Writes a line for each `AccessRecord`.

    Args:
        form: one of `FORMS`.
        file: text file to write to.
    """

    def __init__(self, form: str = "", file: TextIO | None = None) -> None:
        self._form = form
        self._file = file or sys.stderr
        self._numbers = itertools.count(1)

    def write(self, record: AccessRecord) -> None:
        """Write the line of one request."""
        if not self._form:
            return
        fields = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "request": next(self._numbers),
            **asdict(record),
            "path": record.path[:_MAX_PATH],
            "milliseconds": round(record.milliseconds, 3),
        }
        if self._form == "json":
            line = json.dumps(fields)
        else:
            line = " ".join(
                # Quoted, so that no path can make a line of its own.
                json.dumps(value) if name == "path" else f"{value}"
                for name, value in fields.items()
            )
        # A log that cannot be written is no reason to leave a request without answer.
        with contextlib.suppress(OSError, ValueError):
            print(line, file=self._file, flush=True)
