"""The body of a request, as far as a client may send it."""

import asyncio
import contextlib
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

from keras_performer.server.deadline import Deadline

SMALL_BODY = 16_384  # read at once: takes less than a millisecond

Event = dict[str, Any]
Receive = Callable[[], Awaitable[Event]]
Header = tuple[bytes, bytes]


@dataclass(frozen=True)
class RestLimits:
    """What a client may ask of the server.

    Args:
        timeout_in_ms: time from the arrival of a request to its answer; 0: no limit.
        max_request_bytes: size of a body, as it is sent and uncompressed.
        max_bytes_in_hand: size of all bodies that are received or worked on.
        idle_timeout: seconds within which a further part of a body is to arrive.
    """

    timeout_in_ms: int = 30_000
    max_request_bytes: int = 2**25
    max_bytes_in_hand: int = 2**27
    idle_timeout: float = 10.0


class ClientLeftError(Exception):
    """The client closed its connection."""


class RefusedError(Exception):
    """A refusal for a reason of HTTP itself; the connection is closed after it."""

    def __init__(self, status: int, message: str, *headers: Header) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = [(b"connection", b"close"), *headers]


class BodyReader:
    """Reads bodies, and counts how much of all requests is in hand.

    Args:
        limits: the `RestLimits`.
        reading: `concurrent.futures.Executor` to uncompress in.
    """

    def __init__(self, limits: RestLimits, reading: Executor) -> None:
        self._limits = limits
        self._reading = reading
        self._bytes_in_hand = 0

    @contextlib.asynccontextmanager
    async def read(
        self, scope: Event, receive: Receive, deadline: Deadline
    ) -> AsyncIterator[bytes]:
        """The uncompressed body, which is in hand until the block ends.

        Args:
            scope: as of ASGI.
            receive: as of ASGI.
            deadline: the `Deadline` of the request.

        Raises:
            RefusedError: the body is too large, or does not arrive.
            ClientLeftError: the client closed its connection.
        """
        in_hand = [0]
        try:
            yield await self._read_body(scope, receive, deadline, in_hand)
        finally:
            self._bytes_in_hand -= in_hand[0]

    async def _read_body(
        self, scope: Event, receive: Receive, deadline: Deadline, received: list[int]
    ) -> bytes:
        """The uncompressed body; `received` counts what is in hand of it."""
        headers = dict(scope["headers"])
        announced = headers.get(b"content-length", b"0")
        if announced.isdigit() and len(announced) < 19:
            self._check_size(int(announced), 0)
        chunks = []
        while True:
            event = await _receive(receive, deadline, self._limits.idle_timeout)
            if event["type"] == "http.disconnect":
                raise ClientLeftError
            chunk = event.get("body", b"")
            self._check_size(received[0] + len(chunk), received[0])
            received[0] += len(chunk)
            self._bytes_in_hand += len(chunk)
            chunks.append(chunk)
            if not event.get("more_body", False):
                break
        body = b"".join(chunks)
        if b"gzip" in headers.get(b"content-encoding", b""):
            body = await asyncio.get_running_loop().run_in_executor(
                self._reading, _uncompress, body, self._limits.max_request_bytes
            )
            self._bytes_in_hand += len(body) - received[0]
            received[0] = len(body)
        return body

    def _check_size(self, size: int, counted: int) -> None:
        if size > self._limits.max_request_bytes:
            raise RefusedError(
                413,
                f"The body has more than {self._limits.max_request_bytes} bytes. Send "
                "less at a time, or start the server with a higher "
                "--max_request_bytes.",
            )
        if self._bytes_in_hand - counted + size > self._limits.max_bytes_in_hand:
            raise RefusedError(
                503,
                "The server has too many large requests in hand. Send this one again "
                "later.",
                (b"retry-after", b"1"),
            )


class BodyPieces:
    """A body of any size, piece by piece while it arrives.

    Of it no more than a piece is in hand, and what has arrived of the next.

    Args:
        receive: as of ASGI.
        deadline: the `Deadline` of the request.
        idle_timeout: seconds within which a further part of the body is to arrive.
        size: bytes of a piece; the last one has fewer, and may be empty.

    Yields:
        `(piece, is_last)`.

    Raises:
        RefusedError: the body does not arrive.
        ClientLeftError: the client closed its connection.

    Attributes:
        num_bytes: how many have arrived.
        is_complete: whether all have.
    """

    def __init__(
        self, receive: Receive, deadline: Deadline, idle_timeout: float, size: int
    ) -> None:
        self._receive = receive
        self._deadline = deadline
        self._idle_timeout = idle_timeout
        self._size = size
        self.num_bytes = 0
        self.is_complete = False

    async def __aiter__(self) -> AsyncIterator[tuple[bytes, bool]]:
        arrived = bytearray()
        while not self.is_complete:
            event = await _receive(self._receive, self._deadline, self._idle_timeout)
            if event["type"] == "http.disconnect":
                raise ClientLeftError
            chunk = event.get("body", b"")
            self.num_bytes += len(chunk)
            self.is_complete = not event.get("more_body", False)
            arrived += chunk
            while len(arrived) > self._size:
                yield bytes(arrived[: self._size]), False
                del arrived[: self._size]
        yield bytes(arrived), True


async def wait_until_left(receive: Receive) -> None:
    """Wait until the client has closed its connection; its body is not looked at."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _receive(receive: Receive, deadline: Deadline, idle_timeout: float) -> Event:
    remaining = deadline.remaining_seconds()
    seconds = idle_timeout if remaining is None else min(idle_timeout, remaining)
    try:
        return await asyncio.wait_for(receive(), seconds)
    except asyncio.TimeoutError as error:
        raise RefusedError(
            408,
            f"The body did not arrive: no further part of it in {idle_timeout:g} s, or "
            "not all of it within --rest_api_timeout_in_ms.",
        ) from error


def _uncompress(body: bytes, max_bytes: int) -> bytes:
    """The uncompressed body; empty if it is broken, as TensorFlow Serving takes it."""
    decompressor = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        uncompressed = decompressor.decompress(body, max_bytes + 1)
    except zlib.error:
        return b""
    if len(uncompressed) > max_bytes:
        raise RefusedError(
            413, f"The uncompressed body has more than {max_bytes} bytes."
        )
    return uncompressed if decompressor.eof else b""
