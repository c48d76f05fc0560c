"""The standard health service of gRPC: `grpc.health.v1.Health`.

Its messages have one field each, so that their package is not needed: the name of a
service, and its state.
"""

import asyncio
from collections.abc import AsyncIterator

from keras_performer.server.deadline import Deadline
from keras_performer.server.protos import get_first_field
from keras_performer.server.serving_error import ServingError

CHECK = "/grpc.health.v1.Health/Check"
WATCH = "/grpc.health.v1.Health/Watch"

MAX_WATCHERS = 100  # a watch lasts as long as its client wants

_SERVICES = ("", "ModelService", "PredictionService")

_SERVING, _NOT_SERVING, _SERVICE_UNKNOWN = b"\x08\x01", b"\x08\x02", b"\x08\x03"


class HealthService:
    """Tells that the server serves, until it stops."""

    def __init__(self) -> None:
        self._stopping = asyncio.Event()
        self._num_watchers = 0

    def check(self, body: bytes, deadline: Deadline) -> bytes:
        """The state of a service.

        Args:
            body: the bytes of a `HealthCheckRequest`.
            deadline: the `Deadline`, which is not needed: it is answered at once.

        Returns:
            The bytes of a `HealthCheckResponse`.

        Raises:
            ServingError: `NOT_FOUND`.
        """
        del deadline
        service = _read_name(body)
        if service not in _SERVICES:
            raise ServingError("NOT_FOUND", f"There is no service {service!r}")
        return _NOT_SERVING if self._stopping.is_set() else _SERVING

    async def watch(self, body: bytes) -> AsyncIterator[bytes]:
        """The state of a service, now and when it changes, until the server stops.

        Args:
            body: as of `check`.

        Yields:
            The bytes of a `HealthCheckResponse`.

        Raises:
            ServingError: `RESOURCE_EXHAUSTED`, when too many watch already.
        """
        if self._num_watchers >= MAX_WATCHERS:
            raise ServingError(
                "RESOURCE_EXHAUSTED", f"{MAX_WATCHERS} clients watch already"
            )
        self._num_watchers += 1
        try:
            is_known = _read_name(body) in _SERVICES
            yield _SERVING if is_known else _SERVICE_UNKNOWN
            await self._stopping.wait()
            if is_known:
                yield _NOT_SERVING
        finally:
            self._num_watchers -= 1

    def stop(self) -> None:
        """Tell those who watch that the server stops."""
        self._stopping.set()


def _read_name(body: bytes) -> str:
    return get_first_field(body).decode("utf-8", "replace")
