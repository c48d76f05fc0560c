"""The gRPC interface, in the event loop of the REST interface."""

import asyncio
import functools
import logging
import time
from collections.abc import AsyncIterator
from concurrent.futures import Executor
from typing import Any

from keras_performer.extras import pip_line
from keras_performer.server.access_log import AccessLog, AccessRecord
from keras_performer.server.api_tokens import ApiTokens
from keras_performer.server.computation import Computation
from keras_performer.server.deadline import Deadline
from keras_performer.server.grpc_handler import GrpcHandler, Method
from keras_performer.server.health_service import (
    CHECK,
    MAX_WATCHERS,
    WATCH,
    HealthService,
)
from keras_performer.server.metrics import Metrics
from keras_performer.server.request_body import SMALL_BODY
from keras_performer.server.scheduler import Scheduler
from keras_performer.server.serving_error import INTERNAL_ERROR, ServingError
from keras_performer.server.ssl_config import SslConfig

_logger = logging.getLogger(__name__)

_MAX_MESSAGE_BYTES = 1024  # of an error, as in TensorFlow Serving


class GrpcServer:
    """Serves a `GrpcHandler`, from `start` on, which an event loop awaits.

    Args:
        address: host and port, such as `"127.0.0.1:8500"`.
        handler: a `GrpcHandler`.
        scheduler: the `Scheduler` that computes.
        reading: `concurrent.futures.Executor` to read large requests in.
        metrics: the `Metrics` that count the requests.
        access_log: the `AccessLog`.
        timeout_in_ms: longest time for a request, where the client gives it no less; 0
            sets no limit.
        max_request_bytes: size of a message.
        max_requests: requests at a time; further ones are refused.
        has_health_service: whether the standard health service answers.
        api_tokens: the `ApiTokens` that requests must bring, other than those for
            health.
        ssl_config: the `SslConfig` that encrypts; `None` leaves all plain.

    Raises:
        ImportError: the package of gRPC is missing.
    """

    def __init__(
        self,
        address: str,
        handler: GrpcHandler,
        scheduler: Scheduler,
        reading: Executor,
        metrics: Metrics,
        access_log: AccessLog,
        timeout_in_ms: int,
        max_request_bytes: int,
        max_requests: int,
        has_health_service: bool = False,
        api_tokens: ApiTokens | None = None,
        ssl_config: SslConfig | None = None,
    ) -> None:
        self._address = address
        self._handler = handler
        self._scheduler = scheduler
        self._reading = reading
        self._metrics = metrics
        self._access_log = access_log
        self._timeout_in_ms = timeout_in_ms
        self._max_request_bytes = max_request_bytes
        self._max_requests = max_requests
        self._health = HealthService() if has_health_service else None
        self._api_tokens = api_tokens or ApiTokens()
        self._ssl_config = ssl_config
        self._grpc = _import_grpc()
        self._codes = {code.value[0]: code for code in self._grpc.StatusCode}
        self._server: Any = None

    async def start(self) -> None:
        """Listen.

        Raises:
            ValueError: the port cannot be taken.
        """
        self._server = self._grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", self._max_request_bytes),
                ("grpc.max_send_message_length", -1),
                ("grpc.so_reuseport", 0),
            ],
            maximum_concurrent_rpcs=self._max_requests + MAX_WATCHERS,
        )
        for path, method in self._handler.methods.items():
            self._add(path, method, self._api_tokens)
        if self._health:
            self._add(CHECK, self._health.check, ApiTokens())
            watch = functools.partial(self._watch, self._health)
            self._register(WATCH, self._grpc.unary_stream_rpc_method_handler(watch))
        try:
            port = self._listen()
        except RuntimeError:
            port = 0
        if not port:
            raise ValueError(
                f"Cannot listen for gRPC at {self._address}. Pass another --port, or "
                "0 for none."
            )
        await self._server.start()

    async def stop(self, grace_seconds: float) -> None:
        """Take no new requests, and let those that run end.

        Args:
            grace_seconds: longest time to wait for them.
        """
        if self._health:
            self._health.stop()
        if self._server is not None:
            await self._server.stop(grace_seconds)

    def _listen(self) -> int:
        if self._ssl_config is None:
            return self._server.add_insecure_port(self._address)
        credentials = self._ssl_config.make_credentials(self._grpc)
        return self._server.add_secure_port(self._address, credentials)

    def _add(self, path: str, method: Method, api_tokens: ApiTokens) -> None:
        answer = functools.partial(self._answer, path, method, api_tokens)
        self._register(path, self._grpc.unary_unary_rpc_method_handler(answer))

    def _register(self, path: str, handler: Any) -> None:
        service, method = path.strip("/").split("/")
        self._server.add_generic_rpc_handlers(
            (self._grpc.method_handlers_generic_handler(service, {method: handler}),)
        )

    async def _watch(
        self, health: HealthService, body: bytes, context: Any
    ) -> AsyncIterator[bytes]:
        try:
            async for state in health.watch(body):
                yield state
        except ServingError as error:
            await context.abort(self._codes[error.number], error.message)

    async def _answer(
        self,
        path: str,
        method: Method,
        api_tokens: ApiTokens,
        body: bytes,
        context: Any,
    ) -> bytes:
        started = time.monotonic()
        deadline = self._get_deadline(context)
        error = None
        answer = b""
        try:
            metadata = dict(context.invocation_metadata() or ())
            api_tokens.check(metadata.get("authorization", ""))
            answer = await self._compute(method, body, deadline)
        except ServingError as refusal:
            error = refusal
        except asyncio.CancelledError:  # the client left
            self._record(path, body, context, started, "CANCELLED", 499, 0)
            raise
        except Exception:
            _logger.exception("Cannot answer %s", path)
            error = ServingError("INTERNAL", INTERNAL_ERROR)
        code, status = (error.code, error.http_status) if error else ("OK", 200)
        self._record(path, body, context, started, code, status, len(answer))
        if error:
            message = _truncate(error.message)
            await context.abort(self._codes[error.number], message)
        return answer

    def _get_deadline(self, context: Any) -> Deadline:
        limits = [self._timeout_in_ms] if self._timeout_in_ms else []
        remaining = context.time_remaining()
        if remaining is not None:
            limits.append(max(int(remaining * 1000), 1))
        return Deadline(min(limits, default=0))

    async def _compute(
        self,
        method: Method,
        body: bytes,
        deadline: Deadline,
    ) -> bytes:
        loop = asyncio.get_running_loop()
        if len(body) <= SMALL_BODY:
            result = method(body, deadline)
        else:
            result = await loop.run_in_executor(self._reading, method, body, deadline)
        if isinstance(result, bytes):
            return result
        if not isinstance(result, Computation):
            return await asyncio.to_thread(result)
        never: asyncio.Future[None] = loop.create_future()  # leaving is a cancellation
        return await self._scheduler.compute(result, never, deadline)

    def _record(
        self,
        path: str,
        body: bytes,
        context: Any,
        started: float,
        code: str,
        status: int,
        answer_bytes: int,
    ) -> None:
        """Count a request, and write its line into the log."""
        seconds = time.monotonic() - started
        method = path.rpartition("/")[2]
        if method in ("Predict", "Classify", "Regress"):  # as in TensorFlow Serving
            name = self._handler.identify(body)
            self._metrics.request_count.add((name, code))
            if code == "OK":
                self._metrics.request_latency.add((name, method, "GRPC"), 1e6 * seconds)
        self._access_log.write(
            AccessRecord(
                client=context.peer(),
                method="GRPC",
                path=path,
                status=status,
                request_bytes=len(body),
                answer_bytes=answer_bytes,
                milliseconds=1000 * seconds,
            )
        )


def _truncate(message: str) -> str:
    """What of an error there is place for in the headers of an answer."""
    encoded = message.encode("utf-8", "backslashreplace")
    if len(encoded) <= _MAX_MESSAGE_BYTES:
        return encoded.decode()
    return encoded[:_MAX_MESSAGE_BYTES].decode("utf-8", "ignore") + "...TRUNCATED"


def _import_grpc() -> Any:
    """The package, which costs memory and is imported where gRPC is asked for."""
    try:
        import grpc
    except ImportError as error:
        raise ImportError(
            "The flag --port needs the package grpcio. Install it with: "
            f"{pip_line('serving')}"
        ) from error
    return grpc
