"""An error with one of the canonical status codes, and the HTTP status of each code.

TensorFlow, gRPC and TensorFlow Serving share these seventeen codes. Everything below
the HTTP layer raises `ServingError` with a code; the table here is the only place that
knows numbers.
"""

from typing import Any

_CODES = {
    # name: (number, HTTP status)
    "CANCELLED": (1, 499),
    "UNKNOWN": (2, 500),
    "INVALID_ARGUMENT": (3, 400),
    "DEADLINE_EXCEEDED": (4, 504),
    "NOT_FOUND": (5, 404),
    "ALREADY_EXISTS": (6, 409),
    "PERMISSION_DENIED": (7, 403),
    "RESOURCE_EXHAUSTED": (8, 429),
    "FAILED_PRECONDITION": (9, 400),
    "ABORTED": (10, 409),
    "OUT_OF_RANGE": (11, 400),
    "UNIMPLEMENTED": (12, 501),
    "INTERNAL": (13, 500),
    "UNAVAILABLE": (14, 503),
    "DATA_LOSS": (15, 500),
    "UNAUTHENTICATED": (16, 401),
}

_NAMES = {number: name for name, (number, _) in _CODES.items()}


# What a client is told of a fault of the server itself.
INTERNAL_ERROR = "Internal error; the server's log has it."


class ServingError(Exception):
    """A failure that is answered to the client as its code and its message.

    Args:
        code: name of a canonical status code, for example `"INVALID_ARGUMENT"`.
        message: what went wrong, as the client will read it.

    Raises:
        ValueError: `code` is not a canonical status code.

    >>> error = ServingError("NOT_FOUND", "Servable not found for request: Latest(a)")
    >>> error.http_status
    404
    >>> str(error)
    'NOT_FOUND: Servable not found for request: Latest(a)'
    """

    def __init__(self, code: str, message: str) -> None:
        if code not in _CODES:
            raise ValueError(
                f"code={code!r} is not a canonical status code; "
                f"expected one of {sorted(_CODES)}."
            )
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message

    @classmethod
    def from_tensorflow(cls, error: Any) -> "ServingError":
        """The same failure as a `tf.errors.OpError`, without the Python-only preface.

        Args:
            error: a `tf.errors.OpError`.

        Returns:
            A `ServingError` of the same code.
        """
        preface = "Graph execution error:\n\n"
        # A session raises anew, with lines about the Python that made the graph.
        while hasattr(error.__context__, "error_code"):
            error = error.__context__
        message = str(error.message).removeprefix(preface)
        return cls(_NAMES.get(error.error_code, "UNKNOWN"), message)

    @property
    def http_status(self) -> int:
        """The HTTP status that TensorFlow Serving answers for this code."""
        return _CODES[self.code][1]

    @property
    def number(self) -> int:
        """The code's number, as gRPC and the status protos carry it."""
        return _CODES[self.code][0]
