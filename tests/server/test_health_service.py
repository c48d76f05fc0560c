"""The states that the health service tells, apart from gRPC itself."""

import asyncio

import pytest

from keras_performer.server.deadline import Deadline
from keras_performer.server.health_service import MAX_WATCHERS, HealthService
from keras_performer.server.serving_error import ServingError

SERVING, NOT_SERVING = b"\x08\x01", b"\x08\x02"


def test_the_state_changes_when_the_server_stops():
    async def run():
        health = HealthService()
        assert health.check(b"", Deadline()) == SERVING
        watch = health.watch(b"\n\x11PredictionService")
        assert await anext(watch) == SERVING
        health.stop()
        assert await anext(watch) == NOT_SERVING
        assert health.check(b"", Deadline()) == NOT_SERVING
        with pytest.raises(StopAsyncIteration):
            await anext(watch)

    asyncio.run(run())


def test_only_so_many_watch():
    async def run():
        health = HealthService()
        watches = [health.watch(b"") for _ in range(MAX_WATCHERS + 1)]
        for watch in watches[:-1]:
            await anext(watch)
        with pytest.raises(ServingError, match="RESOURCE_EXHAUSTED"):
            await anext(watches[-1])
        await watches[0].aclose()
        assert await anext(health.watch(b"")) == SERVING

    asyncio.run(run())
