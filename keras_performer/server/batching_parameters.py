"""How requests are joined: TensorFlow Serving's `BatchingParameters`."""

import os
from dataclasses import dataclass
from typing import Any

from keras_performer.server.config_messages import read_config

_FLAG = "batching_parameters_file"

_NOT_HERE = (
    "enable_large_batch_splitting",
    "max_execution_batch_size",
)


@dataclass(frozen=True)
class BatchingParameters:
    """Bounds of the batches of each signature.

    Args:
        max_batch_size: rows of a batch; a request with more is refused.
        batch_timeout_micros: time that a request waits for company, while a thread is
            free. When all compute, batches grow until one is free.
        max_enqueued_batches: batches of one signature, and rows of like length, that
            may wait; further requests are refused.
        num_batch_threads: batches computed at a time; `None` takes one for each
            processor.
        allowed_batch_sizes: numbers of rows that a model is run with, in increasing
            order up to `max_batch_size`: a batch is filled up by copies of a row of its
            own to the next of them. None lets batches have any number.
        pad_variable_length_inputs: join arrays of unlike shapes, by padding each with
            its own first element.
        thread_pool_name: label of the metric of waiting times.

    Raises:
        ValueError: an argument is out of range.
    """

    max_batch_size: int = 1000
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = 10
    num_batch_threads: int | None = None
    allowed_batch_sizes: tuple[int, ...] = ()
    pad_variable_length_inputs: bool = False
    thread_pool_name: str = "model_server_batch_threads"

    def __post_init__(self) -> None:
        for name in ("max_batch_size", "max_enqueued_batches", "num_batch_threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be positive; was {value}.")
        if self.batch_timeout_micros < 0:
            raise ValueError(
                "batch_timeout_micros must be non-negative; was "
                f"{self.batch_timeout_micros}."
            )
        sizes = self.allowed_batch_sizes
        if any(size < 1 for size in sizes) or list(sizes) != sorted(set(sizes)):
            raise ValueError(
                "allowed_batch_sizes entries must be positive and monotonically "
                f"increasing; were {list(sizes)}."
            )
        if sizes and sizes[-1] != self.max_batch_size:
            raise ValueError(
                "Last entry in allowed_batch_sizes must match max_batch_size; last "
                f"entry was {sizes[-1]}; expected {self.max_batch_size}."
            )

    def round_up(self, num_rows: int) -> int:
        """The rows that a model is run with for a batch of so many; for none, none.

        >>> BatchingParameters(8, allowed_batch_sizes=(2, 8)).round_up(3)
        8
        """
        allowed = (size for size in self.allowed_batch_sizes if size >= num_rows > 0)
        return next(allowed, num_rows)


def read_batching_parameters(path: str | os.PathLike[str]) -> BatchingParameters:
    """Read a text file with a `BatchingParameters` message.

    Args:
        path: the file.

    Returns:
        A `BatchingParameters`.

    Raises:
        ValueError: the file does not fit, or asks for something that is not here.
    """
    message = read_config("BatchingParameters", path, _FLAG)
    given: dict[str, Any] = {}
    for field, value in message.ListFields():
        if field.name in _NOT_HERE and getattr(value, "value", True):
            raise ValueError(
                f"{_FLAG}={str(path)!r}: tensorflow_model_server has {field.name}, "
                "keras-performer serve has not. Remove it."
            )
        given[field.name] = getattr(value, "value", value)
    given.pop("enable_large_batch_splitting", None)  # it says false
    sizes = given.pop("allowed_batch_sizes", ())
    return BatchingParameters(**given, allowed_batch_sizes=tuple(sizes))
