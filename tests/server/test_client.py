"""The client's own part: what it sends, and what it makes of answers."""

import contextlib
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from keras_performer.server import ServerAnswerError, get_status, predict


class Requests(list):
    """Method, path and body of each request; and its headers."""

    def __init__(self):
        super().__init__()
        self.headers = []


@contextlib.contextmanager
def answering(status, answer):
    """A server that gives one answer to everything; yields its address and a list of
    the requests it got."""
    requests = Requests()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            requests.headers.append(self.headers)
            length = int(self.headers.get("Content-Length", 0))
            requests.append((self.command, self.path, self.rfile.read(length)))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST

        def log_message(self, *arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", requests
        finally:
            server.shutdown()
            thread.join()


def test_predict_sends_one_request_in_row_format():
    with answering(200, b'{"predictions": [1, NaN]}') as (url, requests):
        rows = ["é\n", b"\xff", np.array([1.5]), {"x": np.float32(2)}]
        answer = predict(url + "/", "a b", rows, signature_name="s", version=7)
    assert answer[0] == 1
    assert np.isnan(answer[1])
    [(method, path, body)] = requests
    assert (method, path) == ("POST", "/v1/models/a%20b/versions/7:predict")
    assert "é".encode() in body
    assert json.loads(body) == {
        "instances": ["é\n", {"b64": "/w=="}, [1.5], {"x": 2.0}],
        "signature_name": "s",
    }


def test_a_token_is_sent_where_one_is_given():
    with answering(200, b'{"predictions": []}') as (url, requests):
        predict(url, "m", [], api_token="0123456789abcdef")
        predict(url, "m", [])
    sent = [headers["Authorization"] for headers in requests.headers]
    assert sent == ["Bearer 0123456789abcdef", None]


def test_predict_leaves_out_what_is_not_given():
    with answering(200, b'{"predictions": []}') as (url, requests):
        predict(url, "m", ("a", "b"))
    assert requests == [("POST", "/v1/models/m:predict", b'{"instances": ["a", "b"]}')]


def test_answers_that_are_not_text_are_readable():
    with answering(200, b'{"predictions": ["a\xff"]}') as (url, _):
        assert predict(url, "m", ["a"]) == ["a\ufffd"]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b'{"error": "Servable not found"}', "answered 404: Servable not found"),
        (b"<h1>no</h1>", "answered 404: <h1>no</h1>"),
        (b"", "answered 404: Not Found"),
        (b"[]", r"answered 404: \[\]"),
    ],
)
def test_errors_of_the_server(answer, message):
    with answering(404, answer) as (url, _):
        with pytest.raises(ServerAnswerError, match=message) as raised:
            get_status(url, "m")
        assert raised.value.status == 404


def test_no_server():
    with contextlib.closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(ConnectionError, match=f"No server answers at {url}.*serve"):
            predict(url, "m", ["a"])


def test_a_proxy_is_not_asked_for_this_machine(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    with answering(200, b'{"predictions": [1]}') as (url, _):
        assert predict(url, "m", ["a"]) == [1]


def test_a_server_that_does_not_answer():
    with contextlib.closing(socket.socket()) as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(TimeoutError, match=r"within 0\.2 seconds"):
            predict(url, "m", ["a"], timeout=0.2)


def test_a_server_that_hangs_up():
    with contextlib.closing(socket.socket()) as rude:
        rude.bind(("127.0.0.1", 0))
        rude.listen()
        url = f"http://127.0.0.1:{rude.getsockname()[1]}"

        def hang_up():
            connection, _ = rude.accept()
            connection.recv(65536)
            connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(ConnectionError, match="broke the connection off"):
            predict(url, "m", ["a"])
        thread.join()


@pytest.mark.parametrize("url", ["127.0.0.1:8501", "file:///etc/passwd", "http://", ""])
def test_addresses_that_are_not_http(url):
    with pytest.raises(ValueError, match="is no HTTP address"):
        predict(url, "m", ["a"])


@pytest.mark.parametrize("instance", [object(), "\ud800", {1, 2}])
def test_instances_without_json_form(instance):
    with pytest.raises(ValueError, match="instances cannot be sent as JSON"):
        predict("http://127.0.0.1:1", "m", [instance])
