"""Several requests to one signature as one run of the model.

What may be joined, and the errors where an input or output has no rows, are TensorFlow
Serving's; beyond it, only rows of like length are joined, and a request that fails does
not take the others with it.
"""

import functools
import math
import time
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np

from keras_performer.server.batching_parameters import BatchingParameters
from keras_performer.server.computation import Arrays, Computation
from keras_performer.server.deadline import Deadline
from keras_performer.server.serving_error import ServingError

_SHORT = 128  # lengths up to here are alike


def count_rows(inputs: Arrays) -> int:
    """Number of rows of the inputs of a request.

    Args:
        inputs: `dict` from name to array.

    Raises:
        ServingError: `INVALID_ARGUMENT`, when they have no or unlike numbers of rows.

    >>> count_rows({"x": np.zeros((3, 2)), "y": np.zeros(3)})
    3
    """
    if any(array.ndim == 0 for array in inputs.values()):
        raise ServingError(
            "INVALID_ARGUMENT",
            "Batching Run() input tensors must have at least one dimension",
        )
    counts = {array.shape[0] for array in inputs.values()}
    if len(counts) > 1:
        raise ServingError(
            "INVALID_ARGUMENT",
            "Batching Run() input tensors must have equal 0th-dimension size",
        )
    return counts.pop()


def get_key(computation: Computation, pad: bool) -> Hashable:
    """What is equal for requests that may be joined.

    Args:
        computation: a `Computation`.
        pad: whether arrays of unlike shapes may be joined.

    Returns:
        A value that is equal for requests to one signature of one version whose texts
        have lengths of one power of two, and whose arrays have one shape, or with `pad`
        sizes of one power of two.
    """
    forms: list[Hashable] = [computation.servable, id(computation.signature)]
    for name, array in sorted(computation.inputs.items()):
        shape: Sequence[int] = array.shape[1:]
        if pad:
            shape = [_get_length_class(size) for size in shape]
        longest = 0
        if array.dtype == object:
            longest = max(map(len, array.reshape(-1)), default=0)
        forms.append((name, tuple(shape), _get_length_class(longest)))
    return tuple(forms)


def get_latest_deadline(computations: Sequence[Computation]) -> Deadline:
    """The `Deadline` that ends last, of several computations."""

    def remaining(computation: Computation) -> float:
        seconds = computation.deadline.remaining_seconds()
        return math.inf if seconds is None else seconds

    return max(computations, key=remaining).deadline


def run_batch(
    computations: Sequence[Computation], parameters: BatchingParameters
) -> list[bytes | ServingError]:
    """Compute requests of one key together.

    Args:
        computations: the `Computation` of each; `done` is called for all.
        parameters: the `BatchingParameters`.

    Returns:
        List of the body of each answer, or of the error.
    """
    try:
        try:
            outputs = _run_together(computations, parameters)
        except ServingError as error:
            if len(computations) == 1 or error.code == "DEADLINE_EXCEEDED":
                return [_explain(error, each) for each in computations]
            # Which of them is to blame is not known, so each is asked alone.
            return [
                _answer(each, functools.partial(_run_alone, each, parameters))
                for each in computations
            ]
        return [
            _answer(each, lambda rows=rows: rows)  # type: ignore[misc]
            for each, rows in zip(computations, outputs, strict=True)
        ]
    finally:
        for each in computations:
            each.done()


def _run_alone(computation: Computation, parameters: BatchingParameters) -> Arrays:
    try:
        [outputs] = _run_together([computation], parameters)
    except ServingError as error:
        raise _explain(error, computation) from error
    return outputs


def _run_together(
    computations: Sequence[Computation], parameters: BatchingParameters
) -> list[Arrays]:
    """The outputs of each."""
    first = computations[0]
    sizes = [count_rows(each.inputs) for each in computations]
    pad = parameters.pad_variable_length_inputs
    num_rows = parameters.round_up(sum(sizes))
    inputs = {
        name: _fill_up(
            _join([each.inputs[name] for each in computations], pad), num_rows
        )
        for name in first.inputs
    }
    limit = get_latest_deadline(computations).remaining_in_ms()
    started = time.perf_counter()
    outputs = first.servable.run(first.signature, inputs, limit)
    for each in computations:
        each.measure(1e6 * (time.perf_counter() - started))
    ends = np.cumsum(sizes)
    parts = {
        name: np.split(_check_output(array, num_rows), ends)
        for name, array in outputs.items()
    }
    return [
        {name: arrays[index] for name, arrays in parts.items()}
        for index in range(len(computations))
    ]


def _answer(computation: Computation, compute: Callable[[], Any]) -> Any:
    try:
        return computation.write(compute())
    except ServingError as error:
        return error


def _explain(error: ServingError, computation: Computation) -> ServingError:
    if error.code == "DEADLINE_EXCEEDED":
        return computation.deadline.error()
    return error


def _join(arrays: list[np.ndarray], pad: bool) -> np.ndarray:
    if pad and len({array.shape[1:] for array in arrays}) > 1:
        shape = np.max([array.shape[1:] for array in arrays], axis=0)
        arrays = [_pad(array, tuple(shape)) for array in arrays]
    return np.concatenate(arrays) if len(arrays) > 1 else arrays[0]


def _fill_up(array: np.ndarray, num_rows: int) -> np.ndarray:
    """The array with copies of its last row, a valid one, up to a number of rows."""
    missing = num_rows - len(array)
    if not missing:
        return array
    return np.concatenate([array, np.repeat(array[-1:], missing, axis=0)])


def _pad(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if not array.size:
        raise ServingError(
            "INVALID_ARGUMENT",
            "Got an empty tensor, which has no first element to pad it with",
        )
    padded = np.full((len(array), *shape), array.reshape(-1)[0], array.dtype)
    padded[tuple(map(slice, array.shape))] = array
    return padded


def _check_output(array: np.ndarray, num_rows: int) -> np.ndarray:
    if array.ndim == 0:
        raise ServingError(
            "FAILED_PRECONDITION", "Batched output tensor has 0 dimensions"
        )
    if array.shape[0] != num_rows:
        raise ServingError(
            "FAILED_PRECONDITION",
            "Batched output tensor's 0th dimension does not equal the sum of the 0th "
            "dimension sizes of the input tensors",
        )
    return array


def _get_length_class(length: int) -> int:
    return max(length, _SHORT).bit_length()
