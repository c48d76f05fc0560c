"""Decides which requests are computed now, which wait, and which are refused."""

import asyncio
from collections import deque
from dataclasses import dataclass

from keras_performer.server.deadline import Deadline
from keras_performer.server.request_cost import LONG
from keras_performer.server.serving_error import ServingError


class BusyError(ServingError):
    """A refusal of a request that may be answered when it is sent again later."""

    retry_after_seconds = 1


class TooLargeError(ServingError):
    """A refusal of a request that will never be answered as it is."""


@dataclass(eq=False)
class _Waiting:
    cost: int
    admitted: "asyncio.Future[None]"


class Admission:
    """Bounds what is computed at a time, for the event loop of one thread.

    Short requests never wait for long ones alone, which get some of the slots: a long
    one keeps all processors busy by itself. All that compute together have a budget, as
    each holds memory in proportion to its cost.

    Args:
        slots: requests computed at a time.
        long_slots: of these, the most that are long.
        max_waiting: requests that may wait; further ones are refused.
        max_cost: sum of the costs of the requests that are computed at a time; 0 sets
            no limit.
    """

    def __init__(
        self, slots: int, long_slots: int, max_waiting: int, max_cost: int
    ) -> None:
        self._slots = slots
        self._long_slots = long_slots
        self._max_waiting = max_waiting
        self._max_cost = max_cost
        self._running: list[int] = []  # their costs
        self._waiting: deque[_Waiting] = deque()

    @property
    def num_running(self) -> int:
        """Number of requests that are being computed."""
        return len(self._running)

    @property
    def num_waiting(self) -> int:
        """Number of requests that wait."""
        return len(self._waiting)

    async def enter(self, cost: int, deadline: Deadline) -> None:
        """Wait for a slot; `leave` is to be called once for each that was got.

        Args:
            cost: the request's share of the budget.
            deadline: the `Deadline` of the request.

        Raises:
            TooLargeError: the cost is above the budget of all.
            BusyError: too many wait already.
            ServingError: `DEADLINE_EXCEEDED`.
        """
        if self._max_cost and cost > self._max_cost:
            raise TooLargeError(
                "RESOURCE_EXHAUSTED",
                f"The request asks for {cost} bytes in the model, where each text is "
                "as long as the longest of the request, and at most "
                f"{self._max_cost} are computed at a time. Send texts of like "
                "lengths together, or fewer at a time, or start the server with a "
                "higher --max_padded_bytes.",
            )
        if self._fits(cost):
            self._running.append(cost)
            return
        if len(self._waiting) >= self._max_waiting:
            raise BusyError(
                "UNAVAILABLE",
                f"{len(self._running)} requests are being computed and "
                f"{len(self._waiting)} wait. Send this one again later.",
            )
        waiting = _Waiting(cost, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        try:
            await asyncio.wait_for(
                asyncio.shield(waiting.admitted), deadline.remaining_seconds()
            )
        except BaseException as error:
            if waiting.admitted.done():
                self.leave(cost)
            else:
                self._waiting.remove(waiting)
            if isinstance(error, asyncio.TimeoutError):
                raise deadline.error() from error
            raise

    def leave(self, cost: int) -> None:
        """End the computing of a request, and let others begin.

        Args:
            cost: as it was given to `enter`.
        """
        self._running.remove(cost)
        for waiting in list(self._waiting):
            if self._fits(waiting.cost):
                self._waiting.remove(waiting)
                self._running.append(waiting.cost)
                waiting.admitted.set_result(None)

    def _fits(self, cost: int) -> bool:
        if len(self._running) >= self._slots:
            return False
        if self._max_cost and sum(self._running) + cost > self._max_cost:
            return False
        num_long = sum(other >= LONG for other in self._running)
        return cost < LONG or num_long < self._long_slots
