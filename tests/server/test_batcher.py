"""Which requests are joined, how long they wait, and which are refused."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from running_app import ask, running

from keras_performer.server.admission import Admission, BusyError
from keras_performer.server.batcher import Batcher
from keras_performer.server.batching_parameters import BatchingParameters
from keras_performer.server.computation import Computation
from keras_performer.server.deadline import Deadline
from keras_performer.server.metrics import Metrics
from keras_performer.server.request_cost import LONG
from keras_performer.server.serving_error import ServingError


class FakeServable:
    """Adds one, as soon as `gate` is open; notes the rows of each run."""

    def __init__(self):
        self.gate = threading.Event()
        self.gate.set()
        self.sizes = []

    def get_cost(self, inputs):
        return int(inputs["x"].sum())

    def run(self, signature, inputs, timeout_in_ms):
        assert self.gate.wait(10)
        self.sizes.append(len(inputs["x"]))
        return {"y": inputs["x"] + 1}


class Requests:
    """Makes computations, and counts those whose version is free again."""

    def __init__(self):
        self.servable = FakeServable()
        self.done = 0

    def make(self, *rows):
        return Computation(
            self.servable,
            signature=None,
            inputs={"x": np.array(rows)},
            deadline=Deadline(),
            write=lambda outputs: bytes(str(outputs["y"].tolist()), "ascii"),
            done=self._count,
        )

    def _count(self):
        self.done += 1


def scenario(check, max_waiting=100, max_cost=0, **parameters):
    """Runs `check(batcher, requests)` with a batcher in an event loop."""

    async def run(pool):
        admission = Admission(4, 2, 100, max_cost)
        settings = BatchingParameters(**{"num_batch_threads": 1} | parameters)
        batcher = Batcher(settings, max_waiting, admission, pool, Metrics())
        requests = Requests()
        await check(batcher, requests)
        assert (batcher.num_waiting, admission.num_running) == (0, 0)

    with ThreadPoolExecutor(4) as pool:
        asyncio.run(run(pool))


def test_those_that_arrive_together_are_joined():
    async def check(batcher, requests):
        futures = [batcher.submit(requests.make(n, n)) for n in range(5)]
        answers = await asyncio.gather(*futures)
        assert answers == [b"[%d, %d]" % (n + 1, n + 1) for n in range(5)]
        assert requests.servable.sizes == [10]
        assert requests.done == 5

    scenario(check)


def test_a_batch_grows_while_all_threads_compute():
    async def check(batcher, requests):
        requests.servable.gate.clear()
        futures = [batcher.submit(requests.make(1))]
        await asyncio.sleep(0.05)
        for _ in range(3):
            futures.append(batcher.submit(requests.make(1)))
            await asyncio.sleep(0.01)
        requests.servable.gate.set()
        await asyncio.gather(*futures)
        assert requests.servable.sizes == [1, 3]

    scenario(check)


def test_a_request_waits_for_company_and_not_longer():
    async def check(batcher, requests):
        started = time.monotonic()
        first = batcher.submit(requests.make(1))
        await asyncio.sleep(0.02)
        await asyncio.gather(first, batcher.submit(requests.make(1)))
        assert 0.09 < time.monotonic() - started < 1
        assert requests.servable.sizes == [2]

    scenario(check, batch_timeout_micros=100_000)


def test_a_full_batch_waits_for_no_one():
    async def check(batcher, requests):
        futures = [batcher.submit(requests.make(1, 2)) for _ in range(4)]
        await asyncio.wait_for(asyncio.gather(*futures), 10)
        assert requests.servable.sizes == [4, 4]

    scenario(check, max_batch_size=4, batch_timeout_micros=60_000_000)


def test_a_request_with_more_rows_than_a_batch():
    async def check(batcher, requests):
        assert batcher.takes(requests.make(*[1] * 4))
        with pytest.raises(ServingError, match="Task size 5 is larger than maximum"):
            batcher.takes(requests.make(*[1] * 5))

    scenario(check, max_batch_size=4)


def test_long_requests_are_not_joined_nor_become_batches_long():
    async def check(batcher, requests):
        assert not batcher.takes(requests.make(LONG))
        each = LONG // 3
        futures = [batcher.submit(requests.make(each)) for _ in range(5)]
        # The first need not wait once it takes no more.
        await asyncio.wait_for(asyncio.gather(*futures[:3]), 10)
        assert requests.servable.sizes == [3]
        await asyncio.gather(*futures)
        assert requests.servable.sizes == [3, 2]

    scenario(check, batch_timeout_micros=300_000)


def test_a_full_queue_refuses():
    async def check(batcher, requests):
        requests.servable.gate.clear()
        futures = [batcher.submit(requests.make(1, 1)) for _ in range(2)]
        await asyncio.sleep(0.05)
        futures += [batcher.submit(requests.make(1, 1))]
        with pytest.raises(BusyError, match="max_enqueued_batches is 2"):
            batcher.submit(requests.make(1, 1))
        requests.servable.gate.set()
        await asyncio.gather(*futures)

    scenario(check, max_batch_size=2, max_enqueued_batches=2)


def test_only_so_many_wait():
    async def check(batcher, requests):
        futures = [batcher.submit(requests.make(1)) for _ in range(3)]
        with pytest.raises(BusyError, match="3 requests wait to be joined"):
            batcher.submit(requests.make(1))
        await asyncio.gather(*futures)

    scenario(check, max_waiting=3)


def test_who_left_is_not_computed_for():
    async def check(batcher, requests):
        futures = [batcher.submit(requests.make(n)) for n in range(3)]
        futures[1].cancel()
        assert await asyncio.gather(futures[0], futures[2]) == [b"[1]", b"[3]"]
        assert requests.servable.sizes == [2]
        [alone] = [batcher.submit(requests.make(1))]
        alone.cancel()
        await asyncio.sleep(0.05)
        assert requests.servable.sizes == [2]
        assert requests.done == 4

    scenario(check)


def test_what_is_over_the_budget_of_all_is_refused():
    async def check(batcher, requests):
        future = batcher.submit(requests.make(11))
        with pytest.raises(ServingError, match="RESOURCE_EXHAUSTED"):
            await future
        assert requests.done == 1

    scenario(check, max_cost=10)


def test_an_unexpected_error_reaches_all_that_wait():
    async def check(batcher, requests):
        requests.servable.run = None
        futures = [batcher.submit(requests.make(1)) for _ in range(2)]
        for future in futures:
            with pytest.raises(TypeError):
                await future
        assert requests.done == 2

    scenario(check)


def test_over_http():
    parameters = BatchingParameters(batch_timeout_micros=50_000)
    answers = []
    with running(batching=parameters) as (port, handler):

        def work():
            answers.append(ask(port, "/sleep", b"0.1 ")[0])

        threads = [threading.Thread(target=work) for _ in range(8)]
        started = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert time.monotonic() - started < 0.6  # one by one they take 0.8
        assert ask(port, "/sleep", b"none")[0] == 500
    assert answers == [200] * 8
    assert handler.done == 9


def test_the_cost_of_a_batch_counts_what_fills_it_up():
    async def check(batcher, requests):
        requests.servable.gate.clear()
        busy = batcher.submit(requests.make(1))
        await asyncio.sleep(0.05)
        # Two rows are computed as eight, and four of them as eight too.
        cost = LONG // 10
        futures = [batcher.submit(requests.make(cost, cost)) for _ in range(2)]
        requests.servable.gate.set()
        await asyncio.gather(busy, *futures)
        assert requests.servable.sizes == [2, 8]
        # As many rows as cost too much do not come together.
        cost = LONG // 5
        futures = [batcher.submit(requests.make(cost)) for _ in range(3)]
        await asyncio.gather(*futures)
        assert requests.servable.sizes[2:] == [2, 2]

    scenario(check, max_batch_size=8, allowed_batch_sizes=(2, 8))
