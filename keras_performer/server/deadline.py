"""The time by which a request is to be answered."""

import time

from keras_performer.server.serving_error import ServingError


class Deadline:
    """Counts the time of one request, from when it is made.

    Args:
        timeout_in_ms: time that the request has; 0 sets no limit.

    >>> Deadline(0).remaining_seconds() is None
    True
    """

    def __init__(self, timeout_in_ms: int = 0) -> None:
        self._timeout_in_ms = timeout_in_ms
        self._end = time.monotonic() + timeout_in_ms / 1000

    def check(self) -> None:
        """Raise when the time is over.

        Raises:
            ServingError: `DEADLINE_EXCEEDED`.
        """
        self.remaining_in_ms()

    def remaining_in_ms(self) -> int:
        """What is left, at least 1; 0 stands for no limit.

        Raises:
            ServingError: `DEADLINE_EXCEEDED`.
        """
        seconds = self.remaining_seconds()
        if seconds is None:
            return 0
        if seconds <= 0:
            raise self.error()
        return max(int(seconds * 1000), 1)

    def remaining_seconds(self) -> float | None:
        """What is left, not below 0; `None` stands for no limit."""
        if not self._timeout_in_ms:
            return None
        return max(self._end - time.monotonic(), 0)

    def error(self) -> ServingError:
        """The error that tells that the time is over."""
        return ServingError(
            "DEADLINE_EXCEEDED",
            f"The request took more than {self._timeout_in_ms} ms, from its arrival "
            "on. Send less at a time, or start the server with a higher "
            "--rest_api_timeout_in_ms.",
        )
