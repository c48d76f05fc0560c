"""Progress of a training: Keras's bar on a terminal, a line now and then elsewhere."""

import datetime
import os
import sys
import time
from typing import Any

import keras


class ProgressLogger(keras.callbacks.ProgbarLogger):
    """Keras's progress bar, which is lines of text where nobody sees a bar move.

    Keras redraws its bar with control characters after each batch, also in a file or a
    pipe. There, this callback prints a line at the end of each epoch, and in a longer
    epoch one at each tenth of it at most, none sooner than `seconds` after the last.
    `fit` uses it in place of its own logger, with the same `verbose`.

    The first step, in which the model is compiled, is in no rate: the time left is
    told from the second on, on a terminal too.

    Args:
        seconds: Shortest time between two lines of an epoch.

    Example:

    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse", jit_compile=False)
    >>> x = keras.ops.zeros((8, 1))
    >>> history = model.fit(x, x, callbacks=[ProgressLogger()])
    Epoch 1/1, step 1/1: loss 0, 0:00:...
    """

    async_safe = True  # as Keras has it for its own logger

    def __init__(self, seconds: float = 30.0) -> None:
        super().__init__()
        self.seconds = seconds
        self.target: int | None = None
        self._epoch = 0
        self._steps_done = self._first_steps = 0
        self._last_step = 0
        self._first_time = self._epoch_start = self._last_time = time.monotonic()

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        super().on_train_begin(logs)
        self._steps_done = 0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if not self._prints_lines:
            super().on_epoch_begin(epoch, logs)
        self._epoch = epoch
        self.seen = self._last_step = 0
        self._epoch_start = self._last_time = time.monotonic()

    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        is_first = self._steps_done == 0
        self._steps_done += batch + 1 - self.seen
        if not self._prints_lines:
            # Keras leaves the first step out of its rate once it has been told of it,
            # but shows before what is left at the rate of that step.
            self.progbar.verbose = 0 if is_first else self.verbose
            super().on_train_batch_end(batch, logs)
            self.progbar.verbose = self.verbose
            return
        self.seen = batch + 1
        now = time.monotonic()
        if is_first:
            self._first_steps, self._first_time = self._steps_done, now
        is_last = self.seen == self.target  # `on_epoch_end` prints that
        is_tenth = 10 * (self.seen - self._last_step) >= (self.target or 0)
        if is_tenth and not is_last and now - self._last_time >= self.seconds:
            self._last_step, self._last_time = self.seen, now
            self._print_line(logs, self._time_left(now))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if not self._prints_lines:
            super().on_epoch_end(epoch, logs)
            return
        self.target = self.target or self.seen
        self._print_line(logs, _duration(time.monotonic() - self._epoch_start))

    @property
    def _prints_lines(self) -> bool:
        return self.verbose == 1 and not _shows_bars()

    def _time_left(self, now: float) -> str:
        steps = self._steps_done - self._first_steps
        if not self.target or not steps:
            return "ETA unknown"
        left = self.target * (self.epochs - self._epoch) - self.seen
        return f"ETA {_duration((now - self._first_time) / steps * left)}"

    def _print_line(self, logs: dict[str, Any] | None, when: str) -> None:
        values = [f"{name} {value:.4g}" for name, value in (logs or {}).items()]
        print(
            f"Epoch {self._epoch + 1}/{self.epochs}, "
            f"step {self.seen}/{self.target or '?'}: {', '.join([*values, when])}",
            flush=True,
        )


def _shows_bars() -> bool:
    return (
        sys.stdout.isatty()
        or "ipykernel" in sys.modules
        or "PYCHARM_HOSTED" in os.environ
    )


def _duration(seconds: float) -> str:
    return str(datetime.timedelta(seconds=round(seconds)))
