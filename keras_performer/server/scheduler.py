"""Brings what was read to the threads that compute, by itself or in a batch."""

import asyncio
from concurrent.futures import Executor
from typing import Any

from keras_performer.server.admission import Admission
from keras_performer.server.batcher import Batcher
from keras_performer.server.computation import Computation
from keras_performer.server.deadline import Deadline
from keras_performer.server.request_body import ClientLeftError

# TensorFlow itself keeps the time limit; what it cannot break off is left alone.
_GRACE_SECONDS = 0.2


class Scheduler:
    """Computes for all interfaces of a server, in the event loop of one thread.

    Args:
        admission: the `Admission` to the pool that computes.
        computing: `concurrent.futures.Executor` to compute in.
        batcher: the `Batcher` of short requests; `None` computes each by itself.
    """

    def __init__(
        self, admission: Admission, computing: Executor, batcher: Batcher | None = None
    ) -> None:
        self._admission = admission
        self._computing = computing
        self._batcher = batcher

    async def compute(
        self, computation: Computation, left: "asyncio.Future[None]", deadline: Deadline
    ) -> bytes:
        """The body of the answer.

        Args:
            computation: a `Computation`, which is run or dropped.
            left: future that is done when the client left.
            deadline: the `Deadline` of the request.

        Raises:
            ServingError: the request fails, is refused, or its time is over.
            ClientLeftError: the client left before.
        """
        batch = self._join_batch(computation)
        if batch is None:
            return await self._compute_alone(computation, left, deadline)
        batch.add_done_callback(retrieve)
        try:
            return await wait_for(batch, left, deadline)
        finally:
            batch.cancel()  # which changes nothing where it is done

    def _join_batch(self, computation: Computation) -> "asyncio.Future[bytes] | None":
        """The answer that will come from a batch, if the request is to be joined."""
        if self._batcher is None:
            return None
        try:
            if self._batcher.takes(computation):
                return self._batcher.submit(computation)
        except BaseException:
            computation.drop()
            raise
        return None

    async def _compute_alone(
        self,
        computation: Computation,
        left: "asyncio.Future[None]",
        deadline: Deadline,
    ) -> bytes:
        entering = asyncio.ensure_future(
            self._admission.enter(computation.cost, deadline)
        )
        try:
            await wait_for(entering, left, deadline)
        except BaseException:
            computation.drop()
            if entering.done() and not entering.cancelled():
                if entering.exception() is None:
                    self._admission.leave(computation.cost)
            else:
                entering.cancel()
            raise
        computing = asyncio.get_running_loop().run_in_executor(
            self._computing, computation.run
        )

        def leave(computing: "asyncio.Future[bytes]") -> None:
            self._admission.leave(computation.cost)
            retrieve(computing)

        # Whoever asked may be gone; the slot is taken for as long as it computes.
        computing.add_done_callback(leave)
        return await wait_for(computing, left, deadline)


async def wait_for(
    future: "asyncio.Future[Any]", left: "asyncio.Future[None]", deadline: Deadline
) -> Any:
    """The result of a future, unless the client leaves or the time is over before.

    Args:
        future: what is waited for; it goes on when the wait ends before.
        left: future that is done when the client left.
        deadline: the `Deadline` of the request.

    Raises:
        ServingError: `DEADLINE_EXCEEDED`, or as the future does.
        ClientLeftError: the client left before.
    """
    seconds = deadline.remaining_seconds()
    await asyncio.wait(
        {future, left},
        timeout=None if seconds is None else seconds + _GRACE_SECONDS,
        return_when=asyncio.FIRST_COMPLETED,
    )
    if future.done():
        return future.result()
    if left.done():
        raise ClientLeftError
    raise deadline.error()


def retrieve(future: "asyncio.Future[Any]") -> Any:
    """The result of what no one may wait for any more; `None` where it failed."""
    if future.cancelled() or future.exception() is not None:
        return None
    return future.result()
