"""A request that was read and is to be computed by a model."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_performer.server.deadline import Deadline
from keras_performer.server.servable import Servable
from keras_performer.server.serving_error import ServingError

Arrays = Mapping[str, np.ndarray]


@dataclass(eq=False)
class Computation:
    """What to run, on what, and how to answer: `run` or `drop` it, once.

    Args:
        servable: the `Servable`, which is not unloaded before `done` is called.
        signature: a `SignatureDef` of it.
        inputs: `dict` from input name to array.
        deadline: the `Deadline` of the request.
        write: function from the outputs, a `dict` from name to array, to the body of
            the answer. It raises `ServingError`.
        done: function to be called once, when the servable is no longer needed.
        measure: function that is called with the microseconds that the model took.
    """

    servable: Servable
    signature: Any
    inputs: Arrays
    deadline: Deadline
    write: Callable[[Arrays], bytes]
    done: Callable[[], None]
    measure: Callable[[float], None] = lambda microseconds: None

    def __post_init__(self) -> None:
        self.cost = self.servable.get_cost(self.inputs)

    def run(self) -> bytes:
        """Compute, and write the answer; the version of the model is free afterwards.

        Raises:
            ServingError: with the code of the op that failed, or `DEADLINE_EXCEEDED`.
        """
        try:
            return self.write(self.run_model())
        finally:
            self.done()

    def run_model(self) -> Arrays:
        """Compute the outputs; `done` is still to be called.

        Raises:
            ServingError: as `run` does.
        """
        started = time.perf_counter()
        try:
            outputs = self.servable.run(
                self.signature, self.inputs, self.deadline.remaining_in_ms()
            )
        except ServingError as error:
            if error.code == "DEADLINE_EXCEEDED":
                raise self.deadline.error() from error
            raise
        self.measure(1e6 * (time.perf_counter() - started))
        return outputs

    def drop(self) -> None:
        """Give the version of the model back without computing."""
        self.done()
