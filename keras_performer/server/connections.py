"""Connections that end: uvicorn's HTTP/1.1 with time limits, and only so many.

uvicorn closes a connection that was quiet after a request, but not one that never sends
a request, sends it byte by byte, or does not read its answer, and it goes on accepting
until the process has no file descriptor left.
"""

import asyncio
import contextlib
import functools
import logging
import select
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any

from keras_performer.extras import pip_line
from keras_performer.server.json.writer import write_error

try:
    import h11
    import uvicorn
    from uvicorn.protocols.http.h11_impl import H11Protocol
except ImportError as error:
    raise ImportError(
        f"Serving needs the package uvicorn. Install it with: {pip_line('serving')}"
    ) from error

_logger = logging.getLogger(__name__)

_PAUSE_AFTER_ERROR = 0.5  # seconds, when a connection could not be accepted

_PAUSE_WHEN_FULL = 0.05  # seconds between two looks for a connection to close

_SECONDS_TO_BEGIN = 0.5  # a connection is not closed for another before

_SECONDS_BETWEEN_MESSAGES = 60.0


class _Timer:
    """Calls a function after a time, unless it is stopped before."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        self._loop = loop
        self._seconds = seconds
        self._handle: asyncio.TimerHandle | None = None

    @property
    def is_running(self) -> bool:
        return self._handle is not None

    def start(self, function: Callable[..., None], *arguments: Any) -> None:
        self.stop()
        self._handle = self._loop.call_later(self._seconds, function, *arguments)

    def stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None


class Connection(H11Protocol):
    """One connection.

    Args:
        idle_timeout: seconds that a client may take to send the head of a request, and
            seconds that it may take no part of an answer.
        closed: function that is called with the connection when it is gone.
        **arguments: as of `H11Protocol`.

    Attributes:
        quiet_since: when it was made, or its last answer was sent, on the loop's clock.
    """

    quiet_since = 0.0

    def __init__(
        self,
        idle_timeout: float,
        closed: Callable[["Connection"], None],
        **arguments: Any,
    ) -> None:
        super().__init__(**arguments)
        self._closed = closed
        self._head_timer = _Timer(self.loop, idle_timeout)
        self._write_timer = _Timer(self.loop, idle_timeout)

    @property
    def is_idle(self) -> bool:
        """Whether it is open, and no request is under way."""
        if self.transport is None:  # greetings are still exchanged
            return False
        answered = self.cycle is None or self.cycle.response_complete
        return answered and self.conn.their_state in (h11.IDLE, h11.DONE)

    def abort(self) -> None:
        """Close at once."""
        self.transport.abort()

    def connection_made(self, transport: Any) -> None:
        """Called by asyncio."""
        super().connection_made(transport)
        self.quiet_since = self.loop.time()
        self._watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncio."""
        self._head_timer.stop()
        self._write_timer.stop()
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        self._closed(self)

    def data_received(self, data: bytes) -> None:
        """Called by asyncio."""
        super().data_received(data)
        self._watch_head()

    def pause_writing(self) -> None:
        """Called by asyncio: the client does not take what is written."""
        super().pause_writing()
        self._watch_writing()

    def timeout_keep_alive_handler(self) -> None:
        """Called by uvicorn: no further request came in time."""
        super().timeout_keep_alive_handler()
        self._watch_writing()

    def send_400_response(self, msg: str) -> None:
        """Called by uvicorn: what came is no HTTP request."""
        if self.conn.our_state is not h11.IDLE and self.conn.our_state is not (
            h11.SEND_RESPONSE
        ):
            self.abort()  # in the middle of an answer
            return
        body = write_error(msg)
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
        ]
        events: list[Any] = [
            h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
            h11.Data(data=body),
            h11.EndOfMessage(),
        ]
        for event in events:
            self.transport.write(self.conn.send(event))
        self.transport.close()

    def _watch_head(self) -> None:
        """Give the head of a request the time that it may take, and not more."""
        if not self.is_idle:
            self._head_timer.stop()
        elif not self._head_timer.is_running:
            self._head_timer.start(self.abort)

    def on_response_complete(self) -> None:
        """Called by uvicorn."""
        self.quiet_since = self.loop.time()
        super().on_response_complete()
        if self.transport.is_closing():
            self._watch_writing()

    def _watch_writing(self, last_size: int | None = None) -> None:
        """Close when the client takes nothing for a time of what is written."""
        self._write_timer.stop()
        size = self.transport.get_write_buffer_size()
        if size == last_size:
            self.abort()
        elif size:
            self._write_timer.start(self._watch_writing, size)


class Server(uvicorn.Server):
    """A uvicorn server that accepts connections up to a number.

    When all are taken, the one that was quiet for longest is closed for a new one; when
    none is quiet, new ones wait in the queue of the operating system.

    Args:
        config: a `uvicorn.Config`, with `lifespan="off"`.
        max_connections: number of connections at a time.
        idle_timeout: as of `Connection`.
        ssl_context: encrypts the connections; `None` leaves them plain.
        grpc_server: a `GrpcServer` that starts and stops with it, or `None`.
        started: function that is called when all listen.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        max_connections: int,
        idle_timeout: float,
        ssl_context: ssl.SSLContext | None = None,
        grpc_server: Any = None,
        started: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(config)
        self._grpc_server = grpc_server
        self._all_started = started
        self._idle_timeout = idle_timeout
        self._ssl_context = ssl_context
        self._opening: set[asyncio.Task[None]] = set()
        self._max_connections = max_connections
        self._connections: set[Connection] = set()
        self._accepting: list[asyncio.Task[None]] = []
        self._one_less = asyncio.Event()
        self._next_message = 0.0

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Called by uvicorn: begin to accept."""
        await self.lifespan.startup()
        self.servers = []
        for listener in sockets or []:
            listener.setblocking(False)
            self._accepting.append(asyncio.create_task(self._accept(listener)))
        if self._grpc_server is not None:
            await self._grpc_server.start()
        self.started = True
        self._all_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Called by uvicorn: accept no more, and let running requests end."""
        ending = [*self._accepting, *self._opening]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        if self._grpc_server is not None:
            grace = self.config.timeout_graceful_shutdown or 0
            await self._grpc_server.stop(grace)
        await super().shutdown(sockets)

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, _ = await loop.sock_accept(listener)
            except OSError as error:
                self._tell(error)
                if _is_readable(listener):
                    self._close_a_quiet_one()
                await asyncio.sleep(_PAUSE_AFTER_ERROR)
                continue
            while len(self._connections) >= self._max_connections:
                self._one_less.clear()
                self._close_a_quiet_one()
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._one_less.wait(), _PAUSE_WHEN_FULL)
            connection = Connection(
                self._idle_timeout,
                self._release,
                config=self.config,
                server_state=self.server_state,
                app_state=self.lifespan.state,
            )
            self._connections.add(connection)
            # A client that is slow to greet holds up no other.
            opening = asyncio.ensure_future(self._open(connection, accepted))
            self._opening.add(opening)
            opening.add_done_callback(self._opening.discard)

    async def _open(self, connection: Connection, accepted: socket.socket) -> None:
        encrypted = self._ssl_context is not None
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                functools.partial(_return, connection),
                accepted,
                ssl=self._ssl_context,
                ssl_handshake_timeout=self._idle_timeout if encrypted else None,
            )
        except OSError:  # those of TLS too
            self._release(connection)

    def _tell(self, error: OSError) -> None:
        now = time.monotonic()
        if now >= self._next_message:
            self._next_message = now + _SECONDS_BETWEEN_MESSAGES
            _logger.error("Cannot accept connections: %s", error)

    def _close_a_quiet_one(self) -> None:
        newest = asyncio.get_running_loop().time() - _SECONDS_TO_BEGIN
        quiet = [
            one
            for one in self._connections
            if one.is_idle and one.quiet_since <= newest
        ]
        if quiet:
            min(quiet, key=lambda one: one.quiet_since).abort()

    def _release(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self._one_less.set()


def make_config(app: Any, grace_seconds: int) -> uvicorn.Config:
    """The configuration for `Server`.

    Args:
        app: the ASGI application.
        grace_seconds: how long running requests may take to end after a signal.
    """
    return uvicorn.Config(
        app,
        http="h11",
        lifespan="off",
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=grace_seconds,
    )


def _is_readable(listener: socket.socket) -> bool:
    """Whether a client waits to be accepted."""
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    return bool(poll.poll(0))


def _return(connection: Connection) -> Connection:
    return connection
