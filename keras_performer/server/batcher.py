"""Lets requests wait for company, for a short time, and computes them together."""

import asyncio
import math
import os
import time
from collections.abc import Hashable
from concurrent.futures import Executor
from dataclasses import dataclass, field

from keras_performer.server.admission import Admission, BusyError
from keras_performer.server.batch import (
    count_rows,
    get_key,
    get_latest_deadline,
    run_batch,
)
from keras_performer.server.batching_parameters import BatchingParameters
from keras_performer.server.computation import Computation
from keras_performer.server.metrics import Metrics
from keras_performer.server.request_cost import LONG
from keras_performer.server.serving_error import ServingError


@dataclass(eq=False)
class _Task:
    computation: Computation
    num_rows: int
    answer: "asyncio.Future[bytes]"
    since: float = field(default_factory=time.monotonic)

    @property
    def cost_of_row(self) -> float:
        return self.computation.cost / max(self.num_rows, 1)


@dataclass(eq=False)
class _Batch:
    key: Hashable
    tasks: list[_Task] = field(default_factory=list)

    @property
    def num_rows(self) -> int:
        return sum(task.num_rows for task in self.tasks)

    @property
    def cost_of_row(self) -> float:
        return max(task.cost_of_row for task in self.tasks)


class Batcher:
    """Joins short requests into batches, for the event loop of one thread.

    Each signature of a version has a queue for each power of two of lengths. The oldest
    batch that is full, or has waited for its time, is computed when a thread is free;
    until then it takes more. A batch never becomes a long request by its company, and
    enters by the same `Admission` as other requests do.

    Args:
        parameters: a `BatchingParameters`.
        max_waiting: requests that may wait; further ones are refused.
        admission: the `Admission` to the pool that computes.
        computing: `concurrent.futures.Executor` to compute in.
        metrics: the `Metrics` of batches.
    """

    def __init__(
        self,
        parameters: BatchingParameters,
        max_waiting: int,
        admission: Admission,
        computing: Executor,
        metrics: Metrics,
    ) -> None:
        self._parameters = parameters
        self._max_waiting = max_waiting
        self._admission = admission
        self._computing = computing
        self._metrics = metrics
        self._free_threads = parameters.num_batch_threads or os.cpu_count() or 1
        self._queues: dict[Hashable, list[_Batch]] = {}
        self._running: set[asyncio.Task[None]] = set()

    @property
    def num_waiting(self) -> int:
        """Number of requests that wait for company or for a thread."""
        return sum(
            len(batch.tasks) for queue in self._queues.values() for batch in queue
        )

    def takes(self, computation: Computation) -> bool:
        """Whether a request is to be joined with others; long ones are not.

        Args:
            computation: the `Computation`.

        Raises:
            ServingError: `INVALID_ARGUMENT`, when it cannot be joined with others.
        """
        num_rows = count_rows(computation.inputs)
        most = self._parameters.max_batch_size
        if num_rows > most:
            raise ServingError(
                "INVALID_ARGUMENT",
                f"Task size {num_rows} is larger than maximum input batch size {most}",
            )
        self._metrics.input_batch_size.add((), num_rows)
        return computation.cost < LONG

    def submit(self, computation: Computation) -> "asyncio.Future[bytes]":
        """Let a request wait for its batch.

        Args:
            computation: a `Computation` that `takes` accepted. It is run, or dropped
                when the future was cancelled before.

        Returns:
            A future of the body of the answer, or of its `ServingError`.

        Raises:
            BusyError: too many wait already; the computation is still to be dropped.
        """
        if self.num_waiting >= self._max_waiting:
            raise BusyError(
                "UNAVAILABLE",
                f"{self.num_waiting} requests wait to be joined into batches. Send "
                "this one again later.",
            )
        loop = asyncio.get_running_loop()
        task = _Task(computation, count_rows(computation.inputs), loop.create_future())
        key = get_key(computation, self._parameters.pad_variable_length_inputs)
        queue = self._queues.setdefault(key, [])
        if not queue or not self._fits(queue[-1], task):
            most = self._parameters.max_enqueued_batches
            if len(queue) >= most:
                raise BusyError(
                    "UNAVAILABLE",
                    "The batch scheduling queue to which this task was submitted is "
                    f"full; currently {len(queue)} batches enqueued and "
                    f"max_enqueued_batches is {most}",
                )
            queue.append(_Batch(key))
            # Also without a time to wait, those that arrive together are joined.
            loop.call_later(self._parameters.batch_timeout_micros / 1e6, self._dispatch)
        queue[-1].tasks.append(task)
        if self._is_full(queue):
            self._dispatch()
        return task.answer

    def _fits(self, batch: _Batch, task: _Task) -> bool:
        joined = _Batch(batch.key, [*batch.tasks, task])
        is_full = joined.num_rows > self._parameters.max_batch_size
        return not is_full and self._get_cost(joined) < LONG

    def _get_cost(self, batch: _Batch) -> int:
        """What the model will hold, were all rows as the largest."""
        num_rows = self._parameters.round_up(batch.num_rows)
        return math.ceil(num_rows * batch.cost_of_row)

    def _dispatch(self) -> None:
        """Begin with the batches that are ready, as far as threads are free."""
        while self._free_threads:
            ready = [
                queue[0] for queue in self._queues.values() if self._is_ready(queue)
            ]
            if not ready:
                return
            batch = min(ready, key=lambda batch: batch.tasks[0].since)
            queue = self._queues[batch.key]
            queue.remove(batch)
            if not queue:
                del self._queues[batch.key]
            self._free_threads -= 1
            running = asyncio.ensure_future(self._run(batch))
            self._running.add(running)
            running.add_done_callback(self._running.discard)

    def _is_full(self, queue: list[_Batch]) -> bool:
        return len(queue) > 1 or queue[0].num_rows >= self._parameters.max_batch_size

    def _is_ready(self, queue: list[_Batch]) -> bool:
        waited = time.monotonic() - queue[0].tasks[0].since
        # The clock of the event loop may call a little early.
        is_time = 1e6 * waited >= self._parameters.batch_timeout_micros - 1000
        return is_time or self._is_full(queue)

    async def _run(self, batch: _Batch) -> None:
        try:
            wanted = [task for task in batch.tasks if not task.answer.done()]
            for task in batch.tasks:
                if task.answer.done():
                    task.computation.drop()
            if wanted:
                await self._compute(_Batch(batch.key, wanted))
        finally:
            self._free_threads += 1
            self._dispatch()

    async def _compute(self, batch: _Batch) -> None:
        cost = self._get_cost(batch)
        computations = [task.computation for task in batch.tasks]
        try:
            await self._admission.enter(cost, get_latest_deadline(computations))
        except BaseException as error:
            for each in computations:
                each.drop()
            _fail(batch, error)
            return
        name = self._parameters.thread_pool_name
        for task in batch.tasks:
            waited = 1e6 * (time.monotonic() - task.since)
            self._metrics.queuing_latency.add((name,), waited)
        num_rows = self._parameters.round_up(batch.num_rows)
        self._metrics.processed_batch_size.add((), num_rows)
        self._metrics.padding_size.add((str(num_rows),), num_rows - batch.num_rows)
        self._metrics.wrapped_run_count.add()
        try:
            answers = await asyncio.get_running_loop().run_in_executor(
                self._computing,
                run_batch,
                computations,
                self._parameters,
            )
        except BaseException as error:
            _fail(batch, error)
            return
        finally:
            self._admission.leave(cost)
        for task, answer in zip(batch.tasks, answers, strict=True):
            if task.answer.done():  # whoever asked is gone
                continue
            if isinstance(answer, ServingError):
                task.answer.set_exception(answer)
            else:
                task.answer.set_result(answer)


def _fail(batch: _Batch, error: BaseException) -> None:
    """Let all that wait for a batch know why it is not computed."""
    for task in batch.tasks:
        if task.answer.done():
            continue
        if isinstance(error, Exception):
            task.answer.set_exception(error)
        else:
            task.answer.cancel()
    if not isinstance(error, Exception):
        raise error
