"""The REST interface as an ASGI application."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from typing import Any

from keras_performer.server.rest_handler import RestHandler

Event = dict[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]

_BODYLESS_METHODS = ("GET", "HEAD")


class RestApp:
    """An ASGI application that answers from a `RestHandler`.

    Status and metadata are answered at once. Everything that computes runs in a pool of
    threads, so that the event loop goes on accepting and answering meanwhile. A request
    may have any size.

    Args:
        handler: a `RestHandler`.
        executor: `concurrent.futures.Executor` to compute in.
    """

    def __init__(self, handler: RestHandler, executor: Executor) -> None:
        self._handler = handler
        self._executor = executor

    async def __call__(self, scope: Event, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise ValueError(f"scope type {scope['type']!r} is not served; only http.")
        body = await _read_body(receive)
        if body is None:  # the client left
            return
        method = scope["method"]
        path = scope["raw_path"]
        if scope["query_string"]:
            path += b"?" + scope["query_string"]
        if method in _BODYLESS_METHODS:
            status, answer = self._handler.answer(method, path, body)
        else:
            loop = asyncio.get_running_loop()
            status, answer = await loop.run_in_executor(
                self._executor, self._handler.answer, method, path, body
            )
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(answer)),
        ]
        await send(
            {"type": "http.response.start", "status": status, "headers": headers}
        )
        await send({"type": "http.response.body", "body": answer})


async def _read_body(receive: Receive) -> bytes | None:
    chunks = []
    while True:
        event = await receive()
        if event["type"] == "http.disconnect":
            return None
        chunks.append(event.get("body", b""))
        if not event.get("more_body", False):
            return b"".join(chunks)
