"""`serving/nginx.conf`: several servers behind one address."""

import contextlib
import io
import json
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path

import grpc
import pytest
from free_port import find_free_port
from running_app import ask, read_answer, running, send, wait_for
from served_models import save_streams
from test_grpc_server import serving

from keras_performer.server.access_log import AccessLog
from keras_performer.server.metrics import Metrics
from keras_performer.server.model_config import ModelConfig
from keras_performer.server.model_repository import ModelRepository
from keras_performer.server.request_body import BodyPieces
from keras_performer.server.rest_handler import RestHandler
from keras_performer.server.servable import Servable

CONFIG = Path(__file__).resolve().parents[2] / "serving" / "nginx.conf"

LISTENING, GRPC_LISTENING = 8080, 8081

TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@contextlib.contextmanager
def balancing(folder, ports):
    """Runs nginx with the ports of the configuration replaced; yields the new ones."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        pytest.skip("the program nginx is not there")
    ports = {LISTENING: find_free_port(), GRPC_LISTENING: find_free_port(), **ports}
    folders = "".join(f"{name}_temp_path {folder}/{name};\n" for name in TEMPORARY)
    text = CONFIG.read_text(encoding="utf-8").replace("http {", "http {\n" + folders, 1)
    text = re.sub(
        r"\b127\.0\.0\.1:(\d+)", lambda m: f"127.0.0.1:{ports[int(m[1])]}", text
    )
    path = folder / "nginx.conf"
    path.write_text(text, encoding="utf-8")
    options = (
        f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/log;"
    )
    process = subprocess.Popen([program, "-p", folder, "-c", path, "-g", options])
    try:
        wait_for(lambda: accepts(ports[LISTENING]))
        yield ports
    finally:
        process.terminate()
        process.wait(20)


def accepts(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


def names(text, pattern):
    return [int(port) for port in re.findall(pattern, text)]


def test_the_configuration_names_unlike_ports():
    servers = names(CONFIG.read_text(), r"server 127\.0\.0\.1:(\d+)")
    listening = names(CONFIG.read_text(), r"listen 127\.0\.0\.1:(\d+)")
    assert len(servers) == 6
    assert listening == [LISTENING, GRPC_LISTENING]
    assert len({*servers, *listening}) == 8


def test_requests_go_to_all_and_past_those_that_are_gone(tmp_path):
    nowhere = dict.fromkeys((8520, 8521, 8522), find_free_port())
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(running(slots=1, max_waiting=0)) for _ in "12"]
        first, second = (port for port, _ in servers)
        gone = find_free_port()
        rest = {8510: first, 8511: second, 8512: gone}
        ports = stack.enter_context(balancing(tmp_path, rest | nowhere))
        port = ports[LISTENING]
        for _ in range(12):
            assert ask(port, "/v1/models/m/sleep", b"0")[0] == 200
        assert all(handler.computed for _, handler in servers)
        assert ask(port, "/monitoring/prometheus/metrics", method="GET")[0] == 404
        assert ask(port, "/", b"x", Content_Length=2**25 + 1)[0] == 413

        # Where one is busy with what others sent it, the other is asked.
        with send(first, "/sleep", b"1.5") as connection:
            time.sleep(0.1)
            assert ask(first, "/sleep", b"0")[0] == 503
            assert [ask(port, "/sleep", b"0")[0] for _ in range(6)] == [200] * 6
            assert read_answer(connection)[0] == 200
        # Where both are, they say so.
        slow = [send(port, "/sleep", b"0.6") for _ in "12"]
        time.sleep(0.3)
        status, headers, _ = ask(port, "/sleep", b"0")
        assert (status, headers["retry-after"]) == (503, "1")
        for connection in slow:
            with connection:
                assert read_answer(connection)[0] == 200


def test_documents_and_texts_go_through_as_they_come(tmp_path, monkeypatch):
    save_streams(tmp_path / "m")
    config = ModelConfig("m", tmp_path / "m")
    repository = ModelRepository([config], Servable, poll_wait_seconds=0)
    arrived = keep_what_arrives(monkeypatch)
    nowhere = dict.fromkeys((8511, 8512, 8520, 8521, 8522), find_free_port())
    log = io.StringIO()

    def read_statuses():
        return [json.loads(line)["status"] for line in log.getvalue().splitlines()]

    with contextlib.ExitStack() as stack:
        stack.callback(repository.close)
        repository.start()
        handler, access_log = RestHandler(repository, 0), AccessLog("json", log)
        server = stack.enter_context(running(handler=handler, access_log=access_log))
        ports = stack.enter_context(balancing(tmp_path, nowhere | {8510: server[0]}))
        port = ports[LISTENING]
        # The server has the beginning of a document whose end was not sent, and which
        # is longer than any other body may be.
        text = b"It was a dark and stormy night. " * 10_000
        with send(port, "/v1/models/m:score", text, Content_Length=2**40):
            wait_for(lambda: arrived and arrived[0].num_bytes == len(text))
        wait_for(lambda: read_statuses() == [499])
        status, _, body = ask(port, "/v1/models/m:score", text)
        assert (status, json.loads(body)["num_tokens"]) == (200, len(text))

        # The client has the first events of an endless text, which ends without it.
        request = json.dumps({"prompt": "a", "max_new_tokens": 10**9}).encode()
        connection = stack.enter_context(send(port, "/v1/models/m:generate", request))
        with connection, connection.makefile("rb") as lines:
            events = (line for line in lines if b"data" in line)
            first = [next(events) for _ in range(5)]
        assert all(b"token_id" in event for event in first)
        wait_for(lambda: read_statuses() == [499, 200, 499])


def keep_what_arrives(monkeypatch):
    """The bodies that are read from now on as they come."""
    bodies = []
    create = BodyPieces.__init__

    def keep(self, *arguments):
        create(self, *arguments)
        bodies.append(self)

    monkeypatch.setattr(BodyPieces, "__init__", keep)
    return bodies


def test_grpc_goes_to_those_that_are_there(tmp_path):
    nowhere = dict.fromkeys((8510, 8511, 8512, 8521, 8522), find_free_port())
    repository = ModelRepository([], None, poll_wait_seconds=0)
    with serving(repository, Metrics()) as address:
        ports = {8520: int(address.rpartition(":")[2])}
        with balancing(tmp_path, nowhere | ports) as ports:
            address = f"127.0.0.1:{ports[GRPC_LISTENING]}"
            with grpc.insecure_channel(address) as channel:
                check = channel.unary_unary("/grpc.health.v1.Health/Check")
                assert [check(b"", timeout=20) for _ in range(4)] == [b"\x08\x01"] * 4
                reload = channel.unary_unary(
                    "/tensorflow.serving.ModelService/HandleReloadConfigRequest"
                )
                with pytest.raises(grpc.RpcError) as raised:
                    reload(b"", timeout=20)
                assert raised.value.code() == grpc.StatusCode.UNIMPLEMENTED
