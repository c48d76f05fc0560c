"""Which requests compute, wait or are refused."""

import asyncio

import pytest

from keras_performer.server.admission import Admission, BusyError, TooLargeError
from keras_performer.server.deadline import Deadline
from keras_performer.server.request_cost import LONG
from keras_performer.server.serving_error import ServingError


async def begin(admission, cost=1, timeout_in_ms=0):
    """A task that waits for its slot, after it had a chance to get one."""
    task = asyncio.ensure_future(admission.enter(cost, Deadline(timeout_in_ms)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return task


def test_a_slot_that_is_left_goes_to_the_first_that_waits():
    async def scenario():
        admission = Admission(slots=1, long_slots=1, max_waiting=2, max_cost=0)
        first, second, third = [await begin(admission) for _ in range(3)]
        assert [task.done() for task in (first, second, third)] == [True, False, False]
        admission.leave(1)
        await asyncio.sleep(0.01)
        assert [task.done() for task in (second, third)] == [True, False]
        assert (admission.num_running, admission.num_waiting) == (1, 1)

        async def one_too_many():
            await begin(admission)
            await (await begin(admission))

        with pytest.raises(BusyError, match="1 requests are being computed and 2"):
            await one_too_many()

    asyncio.run(scenario())


def test_long_requests_leave_slots_to_short_ones():
    async def scenario():
        admission = Admission(slots=4, long_slots=2, max_waiting=10, max_cost=0)
        tasks = [await begin(admission, LONG) for _ in range(4)]
        assert [task.done() for task in tasks] == [True, True, False, False]
        shorts = [await begin(admission, 1) for _ in range(3)]
        assert [task.done() for task in shorts] == [True, True, False]
        admission.leave(1)
        await asyncio.sleep(0.01)
        assert shorts[2].done()  # though two long ones came before it
        assert not tasks[2].done()
        admission.leave(LONG)
        await asyncio.sleep(0.01)
        assert tasks[2].done()

    asyncio.run(scenario())


def test_a_budget_for_all_that_compute():
    async def scenario():
        admission = Admission(slots=4, long_slots=2, max_waiting=10, max_cost=100)
        with pytest.raises(TooLargeError, match="asks for 101 bytes in the model"):
            await admission.enter(101, Deadline())
        first, second = [await begin(admission, 60) for _ in range(2)]
        assert first.done()
        assert not second.done()
        assert (await begin(admission, 40)).done()
        admission.leave(60)
        await asyncio.sleep(0.01)
        assert second.done()

    asyncio.run(scenario())


def test_those_that_wait_too_long_or_leave_take_no_slot():
    async def scenario():
        admission = Admission(slots=1, long_slots=1, max_waiting=10, max_cost=0)
        await begin(admission)
        late, gone = await begin(admission, 1, 20), await begin(admission)
        with pytest.raises(ServingError, match="DEADLINE_EXCEEDED"):
            await late
        gone.cancel()
        await asyncio.sleep(0.01)
        assert (admission.num_running, admission.num_waiting) == (1, 0)
        admission.leave(1)
        assert admission.num_running == 0
        assert (await begin(admission)).done()

    asyncio.run(scenario())


def test_one_that_leaves_when_it_gets_its_slot_gives_it_back():
    async def scenario():
        admission = Admission(slots=1, long_slots=1, max_waiting=10, max_cost=0)
        await begin(admission)
        gone = await begin(admission)
        admission.leave(1)  # it has the slot, and has not run yet
        gone.cancel()
        await asyncio.sleep(0.01)
        assert admission.num_running == 0

    asyncio.run(scenario())
