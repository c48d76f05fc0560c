"""Documents that are read while they arrive, and texts that are sent as they grow."""

import contextlib
import gzip
import io
import json
import time

import pytest
from running_app import ask, connect, read_answer, running, send, wait_for
from served_models import save_streams

from keras_performer.server.access_log import AccessLog
from keras_performer.server.batching_parameters import BatchingParameters
from keras_performer.server.model_config import ModelConfig
from keras_performer.server.model_repository import ModelRepository
from keras_performer.server.rest_handler import RestHandler
from keras_performer.server.rest_streams import PIECE_BYTES
from keras_performer.server.servable import Servable

SCORE, GENERATE = "/v1/models/m:score", "/v1/models/m/versions/1:generate"
TEXT = "☃ It was a dark and stormy night. é"


@pytest.fixture(scope="module")
def handler(tmp_path_factory, everything_path):
    base_path = tmp_path_factory.mktemp("models") / "m"
    save_streams(base_path)
    configs = [ModelConfig("m", base_path), ModelConfig("everything", everything_path)]
    repository = ModelRepository(configs, Servable, poll_wait_seconds=0)
    repository.start()
    yield RestHandler(repository, 0)
    repository.close()


@pytest.fixture
def port(handler):
    with running(handler=handler) as (port, _):
        yield port


def send_in_pieces(port, pieces, path=SCORE, **headers):
    """Sends a body in chunks, without its end where a piece is `None`."""
    connection = connect(port)
    headers = {"Host": "h", "Transfer_Encoding": "chunked", **headers}
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    head = "\r\n".join([f"POST {path} HTTP/1.1", *lines, "", ""])
    connection.sendall(head.encode())
    for piece in pieces:
        if piece is None:
            return connection
        connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
        time.sleep(0.01)
    connection.sendall(b"0\r\n\r\n")
    return connection


def score_in_pieces(port, pieces, **headers):
    with send_in_pieces(port, pieces, **headers) as connection:
        status, _, body = read_answer(connection)
    return status, json.loads(body)


def expected(text):
    total = sum(position * byte for position, byte in enumerate(text))
    return {
        "num_tokens": len(text),
        "log_likelihood": pytest.approx(-total),
        "bits_per_token": 8.0,
    }


def generate(port, path=GENERATE, **request):
    """The events of a text."""
    with send(port, path, json.dumps(request).encode()) as connection:
        return read_events(connection)


def read_events(connection):
    received = connection.makefile("rb").read
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += received(1)
    assert b" 200 " in head, head
    assert b"content-type: text/event-stream" in head
    body = b""
    while not body.endswith(b"0\r\n\r\n"):
        body += received(1)
    # Each event is a chunk of its own here.
    events = [part.partition(b"\r\n")[2] for part in body.split(b"\n\n\r\n")[:-1]]
    assert all(event.startswith(b"data: ") for event in events)
    return [json.loads(event.removeprefix(b"data: ")) for event in events]


def test_the_score_does_not_depend_on_where_a_document_is_split(port):
    text = TEXT.encode()
    one_by_one = [text[i : i + 1] for i in range(len(text))]
    for pieces in ([text], [text[:1], text[1:]], one_by_one, []):
        whole = b"".join(pieces)
        assert score_in_pieces(port, pieces) == (200, expected(whole))
    status, headers, body = ask(port, SCORE, text, content_type="text/plain")
    assert (status, json.loads(body)) == (200, expected(text))
    assert headers["content-type"] == "application/json"


@pytest.mark.parametrize("size", [PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES - 7])
def test_a_long_document_is_read_in_pieces(port, handler, size):
    text = (TEXT * (size // len(TEXT) + 1)).encode()[:size]
    status, _, body = ask(port, SCORE, text)
    assert (status, json.loads(body)) == (200, expected(text))


def test_a_document_that_is_longer_than_any_body(handler):
    with running(handler=handler, max_request_bytes=1000) as (port, _):
        assert ask(port, SCORE, b"x" * 1001)[0] == 200


def test_what_says_that_it_is_utf8_is_looked_at(port):
    plain = {"Content_Type": 'text/plain; charset="UTF-8"'}
    text = TEXT.encode()
    split = [text[:1], text[1:-1], text[-1:]]  # within the first and last character
    assert score_in_pieces(port, split, **plain)[0] == 200
    for wrong, position in ((text[:-1], len(text) - 2), (text + b"\xff", len(text))):
        status, answer = score_in_pieces(port, [wrong[:1], wrong[1:]], **plain)
        assert status == 400
        assert f"at byte {position}" in answer["error"]
        assert score_in_pieces(port, [wrong]) == (200, expected(wrong))


@pytest.mark.parametrize(
    ("path", "headers", "status", "message"),
    [
        ("/v1/models/no:score", {}, 404, "Servable not found"),
        ("/v1/models/m/versions/7:score", {}, 404, "Specific(m, 7)"),
        ("/v1/models/everything:score", {}, 400, "export_causal_lm"),
        (SCORE, {"Content_Encoding": "gzip"}, 400, "without Content-Encoding"),
    ],
)
def test_a_refusal_does_not_wait_for_the_document(port, path, headers, status, message):
    with send_in_pieces(port, [b"It was", None], path, **headers) as connection:
        found, answer_headers, body = read_answer(connection)
    assert (found, answer_headers["connection"]) == (status, "close")
    assert message in json.loads(body)["error"]
    body = gzip.compress(b"It was")
    assert ask(port, path, body, **headers)[0] == status


def test_a_document_that_does_not_come_to_its_end(handler):
    log = io.StringIO()
    with running(
        handler=handler, idle_timeout=0.3, access_log=AccessLog("json", log)
    ) as (port, _):
        with send_in_pieces(port, [b"It was", None]) as connection:
            status, _, body = read_answer(connection)
        assert status == 408
        assert "did not arrive" in json.loads(body)["error"]
        send_in_pieces(port, [b"It was", None]).close()
        wait_for(lambda: log.getvalue().count("\n") == 2)
    statuses = [json.loads(line)["status"] for line in log.getvalue().splitlines()]
    assert statuses == [408, 499]


def test_a_text_is_sent_as_it_grows(port):
    events = generate(port, prompt="abc", max_new_tokens=4, temperature=0)
    assert events == [
        {"text": "", "token_id": 0xE2 + 1},
        {"text": "", "token_id": 0x98 + 1},
        {"text": "☃", "token_id": 0x83 + 1},
        {"text": "", "token_id": 0xE2 + 1},
        # Of a character that was not ended there is no text.
        {"text": "\ufffd", "finish_reason": "length", "num_tokens": 4},
    ]
    *tokens, last = generate(port, prompt={"b64": "/w=="}, stop_token_ids=[0x83 + 1])
    # The byte of the prompt stands for the first of the character.
    assert [event["text"] for event in tokens] == ["\ufffd", "\ufffd"]
    assert last == {"text": "", "finish_reason": "stop", "num_tokens": 2}


def test_texts_that_grow_together_are_computed_together(handler):
    batching = BatchingParameters(max_batch_size=1, batch_timeout_micros=1000)
    with running(handler=handler, batching=batching) as (port, _):
        text = [event["text"] for event in generate(port, prompt="abc")]
    assert "".join(text) == "☃" * 33 + "\ufffd"


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({}, "`prompt` is missing"),
        ({"prompt": ""}, "`prompt` is missing"),
        ({"prompt": 7}, "7"),
        ({"prompt": "a", "max_tokens": 7}, "max_new_tokens"),
        ({"prompt": "a", "max_new_tokens": 0}, "an integer from 1"),
        ({"prompt": "a", "max_new_tokens": 1.5}, "an integer from 1"),
        ({"prompt": "a", "temperature": -1}, "a number from 0"),
        ({"prompt": "a", "top_p": True}, "a number from"),
        ({"prompt": "a", "stop_token_ids": "x"}, "list of integers"),
        ([], "Expected a JSON object"),
    ],
)
def test_what_is_asked_wrongly_is_refused(port, request_, message):
    status, _, body = ask(port, GENERATE, json.dumps(request_).encode())
    assert status == 400
    assert message in json.loads(body)["error"]


def test_a_model_that_does_not_write(port):
    path = "/v1/models/everything:generate"
    status, _, body = ask(port, path, b'{"prompt": "a"}')
    assert status == 400
    assert "export_causal_lm" in json.loads(body)["error"]
    assert ask(port, GENERATE, b"{")[0] == 400
    assert ask(port, GENERATE.upper(), b"{")[0] == 400  # not this spelling


def test_the_time_limit_ends_a_text(handler):
    with running(handler=handler, timeout_in_ms=700) as (port, _):
        *tokens, last = generate(port, prompt="a", max_new_tokens=10**6, temperature=9)
        assert tokens
        assert "--rest_api_timeout_in_ms" in last["error"]
        assert ask(port, GENERATE, b'{"prompt": "a", "temperature": 1e6}')[0] == 504


def test_a_text_ends_when_its_reader_leaves(handler):
    log = io.StringIO()
    with running(handler=handler, slots=1, access_log=AccessLog("json", log)) as (
        port,
        _,
    ):
        body = json.dumps({"prompt": "a", "max_new_tokens": 10**6}).encode()
        with send(port, GENERATE, body) as connection:
            assert connection.recv(1000)
        wait_for(log.getvalue)
        record = json.loads(log.getvalue())
        assert record["status"] == 499
        with contextlib.closing(send(port, GENERATE, b'{"prompt": "a"}')) as other:
            assert read_events(other)[-1]["num_tokens"] == 100
