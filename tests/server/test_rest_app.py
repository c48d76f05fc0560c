"""What is answered at once, what waits, and what is refused, over HTTP."""

import gzip
import json
import socket
import threading
import time

import pytest
from running_app import ask, read_answer, running, send, wait_for

from keras_performer.server.metrics import Metrics


def error_of(body):
    [(key, message)] = json.loads(body).items()
    assert key == "error"
    return message


def send_chunked(port, body):
    """Sends a body that does not say its size; returns the connection."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=20)
    connection.sendall(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n")
    connection.sendall(b"\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
    return connection


def test_answers_and_headers():
    with running() as (port, _):
        status, headers, body = ask(port, "/v1/models/m?a=b", b"12345")
    assert (status, body) == (200, b"POST /v1/models/m?a=b 5")
    assert headers["content-type"] == "application/json"
    assert "access-control-allow-origin" not in headers


def test_slow_requests_do_not_hold_up_what_needs_no_model():
    with running(slots=2) as (port, _):
        slow = [send(port, "/sleep", b"1") for _ in range(2)]
        time.sleep(0.1)
        start = time.monotonic()
        assert ask(port, "/other", b"1")[0] == 200
        assert ask(port, "/other", b"1" * 100_000)[0] == 200
        assert ask(port, method="GET")[0] == 200
        assert time.monotonic() - start < 0.5
        for connection in slow:
            with connection:
                assert read_answer(connection)[0] == 200


def test_a_full_queue_refuses_and_says_when_to_come_again():
    with running(slots=1, max_waiting=1) as (port, _):
        first, second = [send(port, "/sleep", b"0.5") for _ in range(2)]
        time.sleep(0.1)
        start = time.monotonic()
        status, headers, body = ask(port, "/sleep", b"0.5")
        assert time.monotonic() - start < 0.3
        assert (status, headers["retry-after"]) == (503, "1")
        assert "Send this one again later" in error_of(body)
        for connection in (first, second):
            with connection:
                assert read_answer(connection)[0] == 200


def test_what_is_over_the_budget_of_all_is_refused_at_once():
    with running(max_cost=10) as (port, handler):
        status, headers, body = ask(port, "/sleep", b"0          ")
        assert status == 413
        assert "retry-after" not in headers
        assert "--max_padded_bytes" in error_of(body)
        assert handler.dropped == 1
        assert ask(port, "/sleep", b"0")[0] == 200


def test_the_time_limit_counts_waiting_and_reading():
    with running(slots=1, timeout_in_ms=300) as (port, handler):
        first = send(port, "/sleep", b"1.2")
        time.sleep(0.1)
        start = time.monotonic()
        status, _, body = ask(port, "/sleep", b"0")
        assert 0.2 < time.monotonic() - start < 0.8
        assert status == 504
        assert "--rest_api_timeout_in_ms" in error_of(body)
        status, _, body = ask(port, "/read-slowly", b"1 " * 10_000)
        assert status == 504
        assert read_answer(first)[0] == 504  # a fake step knows no time limit
        first.close()
        wait_for(lambda: handler.done == 2)
        assert handler.dropped == 1
        assert handler.computed == [b"1.2"]


def test_who_left_is_not_computed_for():
    with running(slots=1, max_waiting=50) as (port, handler):
        running_one = send(port, "/sleep", b"0.5 first")
        time.sleep(0.1)
        gone = [send(port, "/sleep", b"0.5 gone") for _ in range(40)]
        time.sleep(0.1)
        for connection in gone:
            connection.close()
        start = time.monotonic()
        assert ask(port, "/sleep", b"0 next")[0] == 200
        assert time.monotonic() - start < 1.0  # those 40 would take 20 seconds
        assert handler.computed == [b"0.5 first", b"0 next"]
        running_one.close()


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_the_limit(chunked):
    with running(max_request_bytes=100_000) as (port, _):
        assert ask(port, "/", b"x" * 100_000)[0] == 200
        body = b"x" * 3_000_000
        connection = send_chunked(port, body) if chunked else send(port, "/", body)
        with connection:
            status, headers, body = read_answer(connection)
        assert (status, headers["connection"]) == (413, "close")
        assert "--max_request_bytes" in error_of(body)
        assert ask(port, "/", b"x")[0] == 200


def test_bodies_that_are_in_hand_together():
    with running(max_request_bytes=100_000, max_bytes_in_hand=150_000) as (port, _):
        slow = send(port, "/read-slowly", b"0.5 " + b"x" * 99_000)
        time.sleep(0.1)
        status, headers, _ = ask(port, "/", b"x" * 90_000)
        assert (status, headers["retry-after"]) == (503, "1")
        assert ask(port, "/", b"x" * 1_000)[0] == 200
        with slow:
            assert read_answer(slow)[0] == 200
        assert ask(port, "/", b"x" * 90_000)[0] == 200


def test_a_body_that_does_not_arrive():
    with running(idle_timeout=0.2) as (port, _):
        with send(port, "/", b"x", Content_Length=5) as connection:
            status, headers, body = read_answer(connection)
        assert (status, headers["connection"]) == (408, "close")
        assert "The body did not arrive" in error_of(body)


def test_compressed_bodies():
    with running(max_request_bytes=100_000) as (port, _):
        headers = {"Content_Encoding": "gzip"}
        assert ask(port, "/", gzip.compress(b"x" * 9_000), **headers)[2] == (
            b"POST / 9000"
        )
        # a broken one is an empty document, as in TensorFlow Serving
        assert ask(port, "/", b"no gzip", **headers)[2] == b"POST / 0"
        assert ask(port, "/", gzip.compress(b"x" * 900)[:-9], **headers)[2] == (
            b"POST / 0"
        )
        status, _, body = ask(port, "/", gzip.compress(b"x" * 9_000_000), **headers)
        assert status == 413
        assert "uncompressed body" in error_of(body)


def test_a_fault_of_the_server_is_json(caplog):
    with running() as (port, _):
        status, headers, body = ask(port, "/fail")
    assert (status, headers["content-type"]) == (500, "application/json")
    assert error_of(body) == "Internal error; the server's log has it."
    assert "a fault of the server" in caplog.text


def test_preflight_and_cors():
    with running(enable_cors=True) as (port, _):
        status, headers, body = ask(
            port, "/v1/models/m:predict", method="OPTIONS", Origin="https://a.example"
        )
        assert (status, body) == (200, b"")
        assert headers["content-type"] == "text/html; charset=iso-8859-1"
        assert headers["access-control-allow-origin"] == "*"
        assert headers["access-control-allow-methods"] == "post, get"
        assert ask(port, "/v1/models/m", method="OPTIONS")[::2] == (400, b"")
        assert ask(port, "/other", method="OPTIONS")[2] == b"OPTIONS /other 0"
        assert "access-control-allow-origin" in ask(port, "/v1/models/m")[1]
        assert "access-control-allow-origin" not in ask(port, "/other")[1]


def test_methods_that_no_one_has():
    with running() as (port, _):
        for method in ("TRACE", "BREW"):
            status, _, body = ask(port, "/v1/models/m", method=method)
            assert (status, error_of(body)) == (501, "Not Implemented")
        assert ask(port, "/v1/models/m", method="PATCH")[0] == 200


def test_a_whole_url_in_place_of_a_path():
    with running() as (port, _):
        for url in ("http://h/v1/models/m?a", "HTTPS://h:80/v1/models/m?a"):
            assert ask(port, url, b"1")[2] == b"POST /v1/models/m?a 1"


def test_the_page_of_metrics_has_no_query():
    with running(metrics=Metrics(), metrics_path="/metrics") as (port, _):
        status, headers, body = ask(port, "/metrics", method="GET")
        assert (status, headers["content-type"]) == (200, "text/plain")
        assert body.startswith(b"# TYPE ")
        status, headers, body = ask(port, "/metrics?a=b", method="GET")
        assert (status, headers["content-type"]) == (400, "text/plain")
        assert body == b"Unexpected path: /metrics?a=b. Should be /metrics"


def test_many_clients_at_once():
    answers = []
    with running(slots=2, max_waiting=100) as (port, _):

        def work():
            for _ in range(5):
                answers.append(ask(port, "/sleep", b"0.001")[0])

        threads = [threading.Thread(target=work) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert answers == [200] * 80
