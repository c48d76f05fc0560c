"""Connections that do nothing are closed, and there are only so many."""

import contextlib
import json
import resource
import socket
import time

import pytest
from running_app import ask, connect, read_answer, running, send, wait_for


def is_closed(connection):
    connection.settimeout(0.01)
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False


@pytest.mark.parametrize(
    "sent", [b"", b"POST / HTTP/1.1\r\nHost: h\r\n", b"\r\n", b"P"]
)
def test_who_sends_no_request_is_closed(sent):
    with running(idle_timeout=0.3) as (port, _), connect(port) as connection:
        connection.sendall(sent)
        time.sleep(0.15)
        assert not is_closed(connection)
        wait_for(lambda: is_closed(connection), 2)


def test_a_head_byte_by_byte_has_the_time_of_one():
    with running(idle_timeout=0.4) as (port, _), connect(port) as connection:
        start = time.monotonic()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for byte in b"POST / HTTP/1.1\r\nHost: " + b"h" * 200:
                connection.sendall(bytes([byte]))
                time.sleep(0.02)
        assert time.monotonic() - start < 2
        assert is_closed(connection)


def test_a_second_request_has_its_own_time():
    with running(idle_timeout=0.4) as (port, _), send(port) as connection:
        assert read_answer(connection)[0] == 200
        for _ in range(4):
            time.sleep(0.2)
            connection.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            assert read_answer(connection)[0] == 200


def test_a_computation_may_take_longer_than_a_head():
    with running(idle_timeout=0.2) as (port, _):
        assert ask(port, "/sleep", b"0.5")[0] == 200


def test_who_does_not_read_the_answer_is_closed():
    with (
        running(idle_timeout=0.3, max_connections=1) as (port, _),
        send(port, "/big", b"30000000") as connection,
    ):
        time.sleep(0.1)
        assert ask(port)[0] == 200  # gets in when the first is closed
        with pytest.raises(OSError):
            read_answer(connection)


def test_who_reads_slowly_gets_all():
    with (
        running(idle_timeout=0.3) as (port, _),
        send(port, "/big", b"3000000") as connection,
    ):
        received = 0
        while received < 3_000_000:
            received += len(connection.recv(400_000))
            time.sleep(0.1)


def test_quiet_connections_make_room_for_new_ones():
    with running(max_connections=5, idle_timeout=30) as (port, _):
        quiet = [connect(port) for _ in range(20)]
        assert ask(port)[0] == 200
        wait_for(lambda: sum(map(is_closed, quiet)) >= 15)
        for connection in quiet:
            connection.close()


def test_new_ones_wait_while_all_are_busy():
    with running(slots=2, max_connections=2) as (port, _):
        busy = [send(port, "/sleep", b"0.4") for _ in range(2)]
        time.sleep(0.1)
        assert ask(port)[0] == 200
        for connection in busy:
            with connection:
                assert read_answer(connection)[0] == 200


def test_without_file_descriptors_it_says_so_once_and_recovers(caplog):
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with running() as (port, _), contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(port)) for _ in range(2)]
        time.sleep(0.1)
        waiting = stack.enter_context(socket.socket())
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, limits)
        resource.setrlimit(resource.RLIMIT_NOFILE, (waiting.fileno() + 1, limits[1]))
        fillers = []
        with contextlib.suppress(OSError):
            while True:
                fillers.append(stack.enter_context(socket.socket()))
        waiting.connect(("127.0.0.1", port))
        wait_for(lambda: "Cannot accept connections" in caplog.text)
        time.sleep(1.2)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        waiting.settimeout(10)
        waiting.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        assert read_answer(waiting)[0] == 200
        assert caplog.text.count("Cannot accept connections") == 1
        assert clients


@pytest.mark.parametrize(
    "sent",
    [b"not http at all\r\n\r\n", b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"x" * 70_000],
)
def test_what_is_no_http_is_told_in_json(sent):
    with running() as (port, _), connect(port) as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(sent)
        status, headers, body = read_answer(connection)
    assert (status, headers["content-type"]) == (400, "application/json")
    assert json.loads(body) == {"error": "Invalid HTTP request received."}
