"""No request that is a little wrong brings the server into trouble."""

import contextlib
import json
import random
import socket
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from mutations import mutate, replace
from running_app import ask, running
from served_models import save_examples
from tensorflow_serving.apis import predict_pb2

from keras_performer.server.deadline import Deadline
from keras_performer.server.grpc_handler import GrpcHandler
from keras_performer.server.json.parser import parse
from keras_performer.server.metrics import Metrics, read_memory
from keras_performer.server.model_config import ModelConfig
from keras_performer.server.model_repository import ModelRepository
from keras_performer.server.rest_handler import RestHandler
from keras_performer.server.servable import Servable
from keras_performer.server.serving_error import ServingError

BODIES = [
    b'{"instances": ["ab", "a longer text", {"b64": "AAEC"}]}',
    b'{"signature_name": "add", "instances": [1, 2.5, -3e4]}',
    b'{"signature_name": "tokens", "instances": [[1, 2], [3, 4]]}',
    b'{"signature_name": "tokens", "inputs": {"token_ids": [[5, 6, 7]]}}',
    b"""{"signature_name": "mixed", "instances":
        [{"x": [1, 2, 3], "scale": 2, "negate": true}]}""",
    b"""{"signature_name": "mixed", "inputs":
        {"x": [[1, 2, 3]], "scale": [2.0], "negate": [false]}}""",
]
KEYS = (["predictions"], ["outputs"], ["results"], ["error"])  # of an answer
EXAMPLES = [
    b'{"signature_name": "scores", "examples": [{"x": 1.5}, {"x": [2]}]}',
    b'{"signature_name": "regress", "context": {"x": 1.0}, "examples": [{}]}',
]
POST = b"POST /v1/models/m:predict HTTP/1.1\r\nHost: h\r\n"
HTTP = [
    POST + b"Content-Length: 5\r\n\r\n12345",
    POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    POST + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\nab",
    b"GET /v1/models/m/metadata?a=b HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"OPTIONS /v1/x HTTP/1.1\r\nHost: h\r\nOrigin: https://a.example\r\n\r\n",
]


@pytest.fixture(scope="module")
def repository(everything_path, tmp_path_factory):
    examples = tmp_path_factory.mktemp("models") / "examples"
    save_examples(examples)
    configs = [
        ModelConfig("everything", everything_path),
        ModelConfig("examples", examples),
    ]
    repository = ModelRepository(configs, Servable, poll_wait_seconds=0)
    repository.start()
    yield repository
    repository.close()


@pytest.fixture(scope="module")
def handler(repository):
    return RestHandler(repository, 10_000)


def make_messages():
    """Requests to gRPC, as bytes."""
    messages = []
    for signature, inputs in (
        ("", {"text": ["ab", "a longer text"]}),
        ("add", {"x": np.ones([3], np.float32)}),
        ("tokens", {"token_ids": np.ones([2, 3], np.int32)}),
        ("mixed", {"x": np.ones([1, 3], np.float32), "scale": [2.0], "negate": [True]}),
    ):
        message = predict_pb2.PredictRequest()
        message.model_spec.name = "everything"
        message.model_spec.signature_name = signature
        for name, value in inputs.items():
            message.inputs[name].CopyFrom(tf.make_tensor_proto(value))
        messages.append(message.SerializeToString())
    return messages


def answer_many(handler, count):
    generator = random.Random(count)
    for _ in range(count):
        path, bodies = generator.choice(
            [
                (b"/v1/models/everything:predict", BODIES),
                (b"/v1/models/examples:classify", EXAMPLES),
                (b"/v1/models/examples:regress", EXAMPLES),
            ]
        )
        if generator.random() < 0.5:
            body = mutate(generator, bodies)
        else:
            body = replace(generator, generator.choice(bodies))
        started = time.perf_counter()
        status, answer = handler.answer("POST", path, body)
        assert status in (200, 400, 501), (status, body)
        assert list(parse(answer)) in (
            ["predictions"],
            ["outputs"],
            ["results"],
            ["error"],
        )
        assert time.perf_counter() - started < 5, body


@pytest.mark.parametrize("count", [200, pytest.param(30_000, marks=pytest.mark.slow)])
def test_documents_that_are_a_little_wrong(handler, count):
    answer_many(handler, 100)  # what is held from then on, was held before
    before = read_memory()
    answer_many(handler, count)
    assert read_memory() - before < 100 * 2**20


@pytest.mark.parametrize("count", [200, pytest.param(30_000, marks=pytest.mark.slow)])
def test_messages_that_are_a_little_wrong(repository, count):
    generator, messages = random.Random(9), make_messages()
    handler = GrpcHandler(repository, Metrics())
    read = handler.methods["/tensorflow.serving.PredictionService/Predict"]
    answered = 0
    before = read_memory()
    for _ in range(count):
        body = bytearray(generator.choice(messages))
        for _ in range(generator.randint(1, 3)):
            body[generator.randrange(len(body))] = generator.randrange(256)
        assert handler.identify(bytes(body)) in ("", "everything")
        started = time.perf_counter()
        try:
            assert read(bytes(body), Deadline(10_000)).run()
            answered += 1
        except ServingError as error:
            assert error.http_status < 500, (error, bytes(body))
        assert time.perf_counter() - started < 5, bytes(body)
    assert answered > count // 20
    assert read_memory() - before < 400 * 2**20


@pytest.mark.parametrize("count", [30, pytest.param(3_000, marks=pytest.mark.slow)])
def test_http_that_is_a_little_wrong(count):
    generator = random.Random(5)
    with running(idle_timeout=0.5, max_connections=20) as (port, _):
        for number in range(count):
            with (
                contextlib.suppress(ConnectionError, TimeoutError),
                socket.create_connection(("127.0.0.1", port), timeout=0.02) as client,
            ):
                client.sendall(mutate(generator, HTTP))
                while client.recv(65_536):
                    pass
            if number % 100 == 0:
                assert ask(port, "/", b"1")[0] == 200
        descriptors = len(list(Path("/proc/self/fd").iterdir()))
        assert descriptors < 100
        status, _, body = ask(port, "/", b"1")
        assert (status, body) == (200, b"POST / 1")
        assert json.loads(ask(port, "/fail")[2])["error"]
