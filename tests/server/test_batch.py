"""Requests that are computed together get the answers that they get alone."""

import json

import numpy as np
import pytest

from keras_performer.server.batch import (
    count_rows,
    get_key,
    get_latest_deadline,
    run_batch,
)
from keras_performer.server.batching_parameters import BatchingParameters
from keras_performer.server.computation import Computation
from keras_performer.server.deadline import Deadline
from keras_performer.server.model_config import ModelConfig
from keras_performer.server.model_repository import ModelRepository
from keras_performer.server.rest_handler import RestHandler
from keras_performer.server.servable import Servable
from keras_performer.server.serving_error import ServingError

PLAIN = BatchingParameters()
PADDED = BatchingParameters(pad_variable_length_inputs=True)


@pytest.fixture(scope="module")
def read(everything_path):
    config = ModelConfig("m", everything_path)
    repository = ModelRepository([config], Servable, poll_wait_seconds=0)
    repository.start()
    handler = RestHandler(repository, 0)

    def read(deadline=None, **request):
        body = json.dumps(request).encode()
        deadline = deadline or Deadline()
        return handler.read("POST", b"/v1/models/m:predict", body, deadline)

    yield read
    repository.close()


class FakeServable:
    """Adds up rows, whose numbers of columns it notes; refuses negative numbers."""

    def __init__(self, rows=None):
        self.shapes = []
        self.rows = rows  # of the output, where they are not those of the input

    def get_cost(self, inputs):
        return inputs["x"].size

    def run(self, signature, inputs, timeout_in_ms):
        self.shapes.append(inputs["x"].shape)
        if timeout_in_ms == 7:
            raise ServingError("DEADLINE_EXCEEDED", "too late")
        if (inputs["x"] < 0).any():
            raise ServingError("OUT_OF_RANGE", "negative")
        total = inputs["x"].sum(1)
        return {"total": total if self.rows is None else np.zeros(self.rows)}


def make(servable, rows, done=None, deadline=None, write=None):
    return Computation(
        servable,
        signature=None,
        inputs={"x": np.array(rows, np.int32)},
        deadline=deadline or Deadline(),
        write=write or (lambda outputs: b"%d" % outputs["total"].sum()),
        done=(lambda: None) if done is None else (lambda: done.append(rows)),
    )


@pytest.mark.parametrize(
    "requests",
    [
        [{"instances": ["ab"]}, {"instances": ["", "abc"]}, {"inputs": ["abcd"]}],
        [
            {"signature_name": "mixed", "inputs": inputs}
            for inputs in (
                {"x": [[1, 2, 3]], "scale": [2], "negate": [True]},
                {"x": [[4, 5, 6], [7, 8, 9]], "scale": [3, 4], "negate": [False, True]},
            )
        ],
    ],
)
def test_answers_are_those_that_each_gets_alone(read, requests):
    alone = [read(**request).run() for request in requests]
    assert run_batch([read(**request) for request in requests], PLAIN) == alone


def test_one_run_of_the_model_for_all():
    servable, done = FakeServable(), []
    batch = [make(servable, [[1, 2]], done), make(servable, [[3, 4], [5, 6]], done)]
    assert run_batch(batch, PLAIN) == [b"3", b"18"]
    assert servable.shapes == [(3, 2)]
    assert done == [[[1, 2]], [[3, 4], [5, 6]]]


def test_who_fails_fails_alone():
    servable, done = FakeServable(), []
    batch = [make(servable, [[value]], done) for value in (1, -1, 2)]
    first, second, third = run_batch(batch, PLAIN)
    assert (first, third) == (b"1", b"2")
    assert second.code == "OUT_OF_RANGE"
    assert len(done) == 3

    def refuse(outputs):
        raise ServingError("INVALID_ARGUMENT", "no JSON form")

    batch = [make(servable, [[1]], write=refuse), make(servable, [[2]])]
    first, second = run_batch(batch, PLAIN)
    assert (first.code, second) == ("INVALID_ARGUMENT", b"2")


def test_a_batch_has_the_time_of_the_request_that_has_most():
    late, early = Deadline(60_000), Deadline(1)
    early._end = 0
    servable = FakeServable()
    batch = [make(servable, [[n]], deadline=d) for n, d in ((1, early), (2, late))]
    assert get_latest_deadline(batch) is late
    assert run_batch(batch, PLAIN) == [b"1", b"2"]
    unlimited = make(servable, [[3]])
    assert get_latest_deadline([*batch, unlimited]) is unlimited.deadline
    over = Deadline(7)
    over.remaining_in_ms = lambda: 7
    [error] = run_batch([make(servable, [[1]], deadline=over)], PLAIN)
    assert "--rest_api_timeout_in_ms" in error.message


@pytest.mark.parametrize("rows", [(), 3])
def test_outputs_without_a_row_for_each_of_the_input(rows):
    [error] = run_batch([make(FakeServable(rows), [[1], [2]])], PLAIN)
    assert error.code == "FAILED_PRECONDITION"
    assert error.message.startswith("Batched output tensor")


def test_arrays_of_unlike_lengths_are_joined_where_that_is_asked_for():
    servable = FakeServable()
    batch = [make(servable, [[1, 2]]), make(servable, [[3, 4, 5]])]
    assert get_key(batch[0], False) != get_key(batch[1], False)
    assert get_key(batch[0], True) == get_key(batch[1], True)
    # The first value pads, as in TensorFlow Serving, which changes the result.
    assert run_batch(batch, PADDED) == [b"4", b"12"]
    empty = make(servable, [[]])  # has none to pad with, so each is computed alone
    assert run_batch([batch[0], empty], PADDED) == [b"3", b"0"]


def test_what_may_be_joined(read):
    short, like, long, longest = (
        get_key(read(instances=["x" * length]), False) for length in (0, 128, 300, 700)
    )
    assert short == like
    assert len({short, long, longest}) == 3
    assert long == get_key(read(instances=["x" * 500, ""]), False)
    other = read(signature_name="joined", instances=["x"])
    assert get_key(other, False) != short


def test_rows_are_counted():
    assert count_rows({"x": np.zeros((0, 3))}) == 0
    with pytest.raises(ServingError, match="at least one dimension"):
        count_rows({"x": np.zeros(())})
    with pytest.raises(ServingError, match="equal 0th-dimension size"):
        count_rows({"x": np.zeros(1), "y": np.zeros(2)})


def test_batches_are_filled_up_to_an_allowed_size(read):
    parameters = BatchingParameters(8, allowed_batch_sizes=(2, 8))
    servable = FakeServable()
    batch = [make(servable, [[1]]), make(servable, [[2], [3]])]
    assert run_batch(batch, parameters) == [b"1", b"5"]
    assert run_batch([batch[0]], parameters) == [b"1"]
    assert servable.shapes == [(8, 1), (2, 1)]
    # Also those that are asked alone, as others of their batch failed.
    good, bad = make(servable, [[1], [2], [3]]), make(servable, [[-1]])
    assert run_batch([good, bad], parameters)[0] == b"6"
    assert servable.shapes[2:] == [(8, 1), (8, 1), (2, 1)]
    nothing = make(servable, np.zeros([0, 1]))
    assert run_batch([nothing], parameters) == [b"0"]
    texts = [read(instances=[f"{'x' * n}", "y"]) for n in range(3)]
    alone = [read(instances=[f"{'x' * n}", "y"]).run() for n in range(3)]
    assert run_batch(texts, parameters) == alone
