"""The REST interface as an ASGI application."""

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import replace

from keras_performer.server.access_log import AccessLog, AccessRecord
from keras_performer.server.api_tokens import ApiTokens
from keras_performer.server.computation import Computation
from keras_performer.server.deadline import Deadline
from keras_performer.server.document_stream import DocumentStream
from keras_performer.server.metrics import Metrics
from keras_performer.server.request_body import (
    SMALL_BODY,
    BodyPieces,
    BodyReader,
    ClientLeftError,
    Event,
    Header,
    Receive,
    RefusedError,
    RestLimits,
    wait_until_left,
)
from keras_performer.server.rest_handler import RestHandler
from keras_performer.server.rest_outcome import LEFT, Outcome, explain
from keras_performer.server.rest_streams import PIECE_BYTES, RestStreams, write_event
from keras_performer.server.scheduler import Scheduler, retrieve, wait_for
from keras_performer.server.serving_error import ServingError
from keras_performer.server.web_view import WEB_VIEW_PATH, WebView

Send = Callable[[Event], Awaitable[None]]


_ORIGIN = re.compile(rb"https?://[^/]*", re.IGNORECASE)

_METHODS = {"GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"}

_LINGER_SECONDS = 2.0  # a client that still sends would not see an early answer


class RestApp:
    """An ASGI application that answers from a `RestHandler`.

    What computes runs in a pool of threads, a bounded number at a time. All else is
    answered beside it: status and metadata, and what is refused, which small requests
    are in the event loop and large ones in threads of their own.

    Args:
        handler: a `RestHandler`.
        scheduler: the `Scheduler` that computes.
        reading: `concurrent.futures.Executor` to read large requests in.
        limits: the `RestLimits`.
        enable_cors: whether pages of other origins may read the answers.
        access_log: the `AccessLog`.
        metrics: the `Metrics` that count the requests; `None` keeps none.
        metrics_path: path of the page with the metrics; `""` answers none.
        api_tokens: the `ApiTokens` that requests must bring, other than those for the
            status of a model, preflights and the page for browsers.
        web_view: the `WebView`; `None` shows none.
    """

    def __init__(
        self,
        handler: RestHandler,
        scheduler: Scheduler,
        reading: Executor,
        limits: RestLimits,
        enable_cors: bool = False,
        access_log: AccessLog | None = None,
        metrics: Metrics | None = None,
        metrics_path: str = "",
        api_tokens: ApiTokens | None = None,
        web_view: WebView | None = None,
    ) -> None:
        self._handler = handler
        self._scheduler = scheduler
        self._reading = reading
        self._limits = limits
        self._access_log = access_log or AccessLog()
        self._metrics = metrics or Metrics()
        self._metrics_path = metrics_path.encode()
        self._web_view = web_view
        self._api_tokens = api_tokens or ApiTokens()
        self._extra_headers = (
            _get_cors_headers(self._api_tokens.are_required) if enable_cors else []
        )
        self._body_reader = BodyReader(limits, reading)
        self._streams = RestStreams(scheduler)

    async def __call__(self, scope: Event, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise ValueError(f"scope type {scope['type']!r} is not served; only http.")
        if not scope["raw_path"].startswith(b"/"):  # a whole URL, as proxies get it
            scope = {**scope, "raw_path": _ORIGIN.sub(b"", scope["raw_path"], count=1)}
        started = time.monotonic()
        received = [0]
        try:
            outcome = await self._answer(scope, receive, received)
        except ClientLeftError:
            self._record(scope, LEFT, received[0], started)
            return
        except (Exception, asyncio.CancelledError) as error:
            outcome = explain(error, scope)
        if outcome.events is None:
            self._record(scope, outcome, received[0], started)
        headers = [
            *outcome.headers,
            (b"content-type", outcome.content_type),
            *(self._extra_headers if _is_api(scope) else []),
        ]
        if outcome.events is None:
            headers.append((b"content-length", b"%d" % len(outcome.body)))
        await send(
            {
                "type": "http.response.start",
                "status": outcome.status,
                "headers": headers,
            }
        )
        more = outcome.is_refused or outcome.events is not None
        await send(_make_part(outcome.body, more))
        if outcome.is_refused:
            await _read_and_forget(receive)
        if outcome.events is not None:
            outcome = await self._send_events(outcome, outcome.events, scope, send)
            self._record(scope, outcome, received[0], started)
        if more:
            await send(_make_part(b"", more=False))

    async def _send_events(
        self,
        outcome: Outcome,
        events: AsyncGenerator[bytes, None],
        scope: Event,
        send: Send,
    ) -> Outcome:
        """Send what follows the beginning of an answer; tells how it ended."""
        num_bytes = len(outcome.body)
        try:
            async with contextlib.aclosing(events):
                async for event in events:
                    await send(_make_part(event))
                    num_bytes += len(event)
        except ClientLeftError:
            return LEFT
        except (Exception, asyncio.CancelledError) as error:
            outcome = explain(error, scope)
            event = write_event(outcome.body)
            await send(_make_part(event))
            num_bytes += len(event)
        return replace(outcome, body=b"", num_bytes=num_bytes)

    def _record(
        self, scope: Event, outcome: Outcome, request_bytes: int, started: float
    ) -> None:
        """Count a request, and write its line into the log."""
        seconds = time.monotonic() - started
        if _is_api(scope):
            name, api = self._handler.identify(scope["method"], _get_path(scope))
            self._metrics.request_count.add((name, outcome.code))
            if outcome.code == "OK":
                self._metrics.request_latency.add((name, api, "REST"), 1e6 * seconds)
        self._access_log.write(
            AccessRecord(
                client=scope["client"][0] if scope["client"] else "",
                method=scope["method"],
                path=scope["raw_path"].decode("ascii", "backslashreplace"),
                status=outcome.status,
                request_bytes=request_bytes,
                answer_bytes=outcome.num_bytes or len(outcome.body),
                milliseconds=1000 * seconds,
            )
        )

    async def _answer(
        self, scope: Event, receive: Receive, received: list[int]
    ) -> Outcome:
        deadline = Deadline(self._limits.timeout_in_ms)
        self._check_token(scope)
        if scope["method"] not in _METHODS:
            raise ServingError("UNIMPLEMENTED", "Not Implemented")
        action = self._handler.get_action(scope["method"], _get_path(scope))
        if action == "score":
            return await self._score(scope, receive, received, deadline)
        async with self._body_reader.read(scope, receive, deadline) as body:
            received[0] = len(body)
            if self._metrics_path and scope["raw_path"] == self._metrics_path:
                return self._show_metrics(_get_path(scope))
            if self._web_view and scope["raw_path"] == WEB_VIEW_PATH:
                return Outcome(
                    200,
                    self._web_view.page,
                    headers=self._web_view.headers,
                    content_type=b"text/html; charset=utf-8",
                )
            if scope["method"] == "OPTIONS" and _is_api(scope):
                return _answer_preflight(scope)
            if action == "generate":
                return await self._generate(scope, body, receive, deadline)
            answer = await self._answer_body(
                scope["method"], _get_path(scope), body, receive, deadline
            )
            return Outcome(200, answer)

    def _show_metrics(self, path: bytes) -> Outcome:
        if path == self._metrics_path:
            return Outcome(200, self._metrics.write(), content_type=b"text/plain")
        message = b"Unexpected path: %b. Should be %b" % (path, self._metrics_path)
        return Outcome(400, message, "INVALID_ARGUMENT", content_type=b"text/plain")

    async def _score(
        self, scope: Event, receive: Receive, received: list[int], deadline: Deadline
    ) -> Outcome:
        """Read a document while it arrives."""
        pieces = BodyPieces(receive, deadline, self._limits.idle_timeout, PIECE_BYTES)
        try:
            with contextlib.closing(self._open_document(scope)) as document:
                return Outcome(
                    200,
                    await self._streams.score(
                        document, scope, receive, pieces, deadline
                    ),
                )
        except ServingError as error:
            outcome = explain(error, scope)
            if pieces.is_complete:
                return outcome
            headers = [*outcome.headers, (b"connection", b"close")]
            return replace(outcome, headers=headers, is_refused=True)
        finally:
            received[0] = pieces.num_bytes

    async def _generate(
        self, scope: Event, body: bytes, receive: Receive, deadline: Deadline
    ) -> Outcome:
        """Begin to write a text; what is wrong before is told by a status."""
        events = self._list_events(scope, body, receive, deadline)
        return Outcome(
            200,
            await anext(events),
            headers=[(b"cache-control", b"no-store"), (b"x-accel-buffering", b"no")],
            content_type=b"text/event-stream",
            events=events,
        )

    async def _list_events(
        self, scope: Event, body: bytes, receive: Receive, deadline: Deadline
    ) -> AsyncGenerator[bytes, None]:
        left = asyncio.ensure_future(wait_until_left(receive))
        try:
            with contextlib.closing(self._open_document(scope)) as document:
                events = self._streams.generate(document, body, left, deadline)
                async for event in events:
                    yield event
        finally:
            left.cancel()

    def _open_document(self, scope: Event) -> DocumentStream:
        return self._handler.open_document(scope["method"], _get_path(scope))

    def _check_token(self, scope: Event) -> None:
        """Refuse a request before its body is read, if it is to bring a token."""
        if not self._api_tokens.are_required:
            return
        method = scope["method"]
        if self._web_view and scope["raw_path"] == WEB_VIEW_PATH:
            return
        if _is_api(scope) and (
            method == "OPTIONS" or self._handler.is_status(method, _get_path(scope))
        ):
            return
        sent = dict(scope["headers"]).get(b"authorization", b"")
        try:
            self._api_tokens.check(sent.decode("latin-1"))
        except ServingError as error:
            raise RefusedError(
                401, error.message, (b"www-authenticate", b"Bearer")
            ) from error

    async def _answer_body(
        self,
        method: str,
        path: bytes,
        body: bytes,
        receive: Receive,
        deadline: Deadline,
    ) -> bytes:
        left = asyncio.ensure_future(wait_until_left(receive))
        try:
            read = await self._read(method, path, body, left, deadline)
            if not isinstance(read, Computation):
                return read
            return await self._scheduler.compute(read, left, deadline)
        finally:
            left.cancel()

    async def _read(
        self,
        method: str,
        path: bytes,
        body: bytes,
        left: "asyncio.Future[None]",
        deadline: Deadline,
    ) -> bytes | Computation:
        if len(body) <= SMALL_BODY:
            return self._handler.read(method, path, body, deadline)
        reading = asyncio.get_running_loop().run_in_executor(
            self._reading, self._handler.read, method, path, body, deadline
        )
        try:
            return await wait_for(reading, left, deadline)
        except BaseException:
            reading.add_done_callback(_drop)
            raise


def _get_cors_headers(with_token: bool) -> list[Header]:
    allowed = b"Content-Type, Authorization" if with_token else b"Content-Type"
    return [
        (b"access-control-allow-origin", b"*"),
        (b"access-control-allow-methods", b"POST, GET"),
        (b"access-control-allow-headers", allowed),
    ]


async def _read_and_forget(receive: Receive) -> None:
    """Take what a refused client still sends, for a short time."""
    end = time.monotonic() + _LINGER_SECONDS
    try:
        while (seconds := end - time.monotonic()) > 0:
            event = await asyncio.wait_for(receive(), seconds)
            if event["type"] != "http.request" or not event.get("more_body", False):
                return
    except asyncio.TimeoutError:
        return


def _drop(reading: "asyncio.Future[bytes | Computation]") -> None:
    read = retrieve(reading)
    if isinstance(read, Computation):
        read.drop()


def _make_part(body: bytes, more: bool = True) -> Event:
    return {"type": "http.response.body", "body": body, "more_body": more}


def _is_api(scope: Event) -> bool:
    return scope["raw_path"].lower().startswith(b"/v1/")


def _get_path(scope: Event) -> bytes:
    """The path as sent, with the query string."""
    path = scope["raw_path"]
    return path + b"?" + scope["query_string"] if scope["query_string"] else path


def _answer_preflight(scope: Event) -> Outcome:
    origin = dict(scope["headers"]).get(b"origin", b"")
    is_answered = b"http://" in origin or b"https://" in origin
    return Outcome(
        200 if is_answered else 400,
        b"",
        "OK" if is_answered else "FAILED_PRECONDITION",
        content_type=b"text/html; charset=ISO-8859-1",  # of an answer without content
    )
