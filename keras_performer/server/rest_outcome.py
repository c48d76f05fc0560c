"""How a request of the REST interface ended: what is answered, counted and logged."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from keras_performer.server.admission import BusyError, TooLargeError
from keras_performer.server.json.writer import write_error
from keras_performer.server.request_body import Event, Header, RefusedError
from keras_performer.server.serving_error import INTERNAL_ERROR, ServingError

_logger = logging.getLogger(__name__)

_CODES_OF_REFUSALS = {
    401: "UNAUTHENTICATED",
    408: "DEADLINE_EXCEEDED",
    413: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
}


@dataclass(frozen=True)
class Outcome:
    """How a request ended.

    Args:
        status: HTTP status.
        body: `bytes` of the answer.
        code: canonical code, as metrics have it.
        headers: list of pairs of `bytes`.
        content_type: of the body.
        is_refused: whether it was refused, perhaps before all of its body came.
        events: what comes after the body, or `None`.
        num_bytes: of the body and of what came after it.
    """

    status: int
    body: bytes
    code: str = "OK"
    headers: list[Header] = field(default_factory=list)
    content_type: bytes = b"application/json"
    is_refused: bool = False
    events: AsyncGenerator[bytes, None] | None = None
    num_bytes: int | None = None


LEFT = Outcome(499, b"", "CANCELLED")


def explain(error: BaseException, scope: Event) -> Outcome:
    """How a request ends that was not answered.

    Args:
        error: what was raised; one that nobody expects goes to the log.
        scope: as of ASGI.
    """
    if isinstance(error, RefusedError):
        return Outcome(
            error.status,
            write_error(error.message),
            _CODES_OF_REFUSALS[error.status],
            error.headers,
            is_refused=True,
        )
    if isinstance(error, ServingError):
        headers: list[Header] = []
        if isinstance(error, BusyError):
            headers = [(b"retry-after", b"%d" % error.retry_after_seconds)]
        status = 413 if isinstance(error, TooLargeError) else error.http_status
        return Outcome(status, write_error(error.message), error.code, headers)
    if isinstance(error, asyncio.CancelledError):  # the server cannot wait any longer
        return Outcome(503, write_error("The server is stopping."), "UNAVAILABLE")
    _logger.error(
        "Cannot answer %s %s", scope["method"], scope["raw_path"], exc_info=error
    )
    return Outcome(500, write_error(INTERNAL_ERROR), "INTERNAL")
