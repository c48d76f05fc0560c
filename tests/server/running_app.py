"""The HTTP server around a handler that needs no model, in a thread of the test."""

import contextlib
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from keras_performer.server.admission import Admission
from keras_performer.server.batcher import Batcher
from keras_performer.server.computation import Computation
from keras_performer.server.connections import Server, make_config
from keras_performer.server.metrics import Metrics
from keras_performer.server.rest_app import RestApp, RestLimits
from keras_performer.server.scheduler import Scheduler


class FakeHandler:
    """Computes `sleep` seconds for a body that names them, and echoes other bodies."""

    def __init__(self):
        self.computed = []
        self.done = 0

    def identify(self, method, path):
        return "m", "predict"

    def get_action(self, method, path):
        return "predict"

    def is_status(self, method, path):
        return method == "GET" and path == b"/v1/models/m"

    def read(self, method, path, body, deadline):
        if path == b"/fail":
            raise RuntimeError("a fault of the server")
        if path == b"/read-slowly":
            time.sleep(float(body.split()[0]))
            return b"{}"
        if path == b"/big":
            return b"x" * int(body)
        if not path.endswith(b"/sleep"):
            return b"%b %b %d" % (method.encode(), path, len(body))
        return Computation(
            servable=self,
            signature=None,
            inputs={"body": np.array([body], object)},
            deadline=deadline,
            write=lambda outputs: b"{}",
            done=self._count_done,
        )

    def get_cost(self, inputs):
        return len(inputs["body"][0])

    def run(self, signature, inputs, timeout_in_ms):
        self.computed += list(inputs["body"])
        time.sleep(float(inputs["body"][0].split()[0]))
        return {"body": inputs["body"]}

    @property
    def dropped(self):
        return self.done - len(self.computed)

    def _count_done(self):
        self.done += 1


@contextlib.contextmanager
def running(
    slots=2,
    max_waiting=2,
    max_cost=0,
    max_connections=50,
    idle_timeout=5.0,
    enable_cors=False,
    access_log=None,
    metrics=None,
    metrics_path="",
    batching=None,
    api_tokens=None,
    web_view=None,
    ssl_context=None,
    handler=None,
    **limits,
):
    """Runs the server; yields its port and the handler."""
    handler = handler or FakeHandler()
    with contextlib.ExitStack() as stack:
        pools = [stack.enter_context(ThreadPoolExecutor(n)) for n in (slots, 2)]
        admission = Admission(slots, max(slots // 2, 1), max_waiting, max_cost)
        batcher = None
        if batching:
            batcher = Batcher(batching, 100, admission, pools[0], Metrics())
        app = RestApp(
            handler,
            Scheduler(admission, pools[0], batcher),
            pools[1],
            RestLimits(idle_timeout=idle_timeout, **limits),
            enable_cors,
            access_log,
            metrics,
            metrics_path,
            api_tokens,
            web_view,
        )
        listener = stack.enter_context(contextlib.closing(socket.socket()))
        listener.bind(("127.0.0.1", 0))
        listener.listen(200)
        port = listener.getsockname()[1]
        server = Server(make_config(app, 1), max_connections, idle_timeout, ssl_context)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield port, handler
        finally:
            server.should_exit = True
            thread.join()


def connect(port):
    return socket.create_connection(("127.0.0.1", port), timeout=10)


def ask(port, path="/", body=b"", method="POST", **headers):
    """Sends one request; returns the status, the headers and the body."""
    with send(port, path, body, method, **headers) as connection:
        return read_answer(connection)


def send(port, path="/", body=b"", method="POST", **headers):
    """Sends one request; returns the connection."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=20)
    headers = {"Host": "h", "Content_Length": len(body), **headers}
    lines = [f"{method} {path} HTTP/1.1"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)
    return connection


def read_answer(connection):
    """The status, the headers and the body of an answer with a Content-Length."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += _receive(connection)
    head, _, body = received.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    while len(body) < int(headers["content-length"]):
        body += _receive(connection)
    return int(first.split()[1]), headers, body


def _receive(connection):
    received = connection.recv(65536)
    if not received:
        raise ConnectionError("the server closed the connection")
    return received


def wait_for(condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "not reached in time"
        time.sleep(0.01)
