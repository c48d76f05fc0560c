"""The whole server in its own process, asked over a real socket."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import grpc
import pytest
import tensorflow as tf
import tensorflow_text
from certificates import make_certificates, write_ssl_config
from free_port import find_free_port
from served_models import save_everything, write_model_config
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from keras_performer.server import (
    ServerAnswerError,
    ServerOptions,
    ServerProcess,
    get_status,
    predict,
    serve,
)


class Characters(tf.Module):
    """A model that needs an op of tensorflow-text."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "text")])
    def count(self, text):
        tokens = tensorflow_text.UnicodeCharTokenizer().tokenize(text)
        return {"characters": tokens.row_lengths()}


@pytest.fixture(scope="module")
def models_config(tmp_path_factory, everything_path):
    folder = tmp_path_factory.mktemp("characters")
    module = Characters()
    tf.saved_model.save(module, str(folder / "3"), signatures=module.count)
    return write_model_config(
        folder / "models.config",
        {
            "name": "everything",
            "base_path": str(everything_path),
            "model_platform": "tensorflow",
            "version_labels": {"stable": 1},
        },
        {
            "name": "characters",
            "base_path": str(folder),
            "model_platform": "tensorflow",
        },
    )


@pytest.fixture(scope="module")
def server(models_config):
    options = ServerOptions(
        model_config_file=str(models_config),
        rest_api_port=0,
        rest_api_num_threads=2,
        rest_api_timeout_in_ms=3000,
    )
    with pytest.MonkeyPatch.context() as patch:
        # One request may keep one of TensorFlow's threads busy; leave others one.
        patch.setenv("TF_NUM_INTEROP_THREADS", "2")
        with ServerProcess(options) as server:
            yield server


def post(server, path, body, **headers):
    """Sends bytes; returns the status, the headers and the bytes of the answer."""
    request = urllib.request.Request(server.url + path, body, headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


def test_predict_over_http(server):
    body = b'{"signature_name": "add", "instances": [1, 2.5]}'
    status, headers, answer = post(server, "/v1/models/everything:predict", body)
    assert status == 200
    assert headers["Content-Type"] == "application/json"
    assert int(headers["Content-Length"]) == len(answer)
    assert answer == b'{\n    "predictions": [1.0, 2.5\n    ]\n}'


def test_errors_over_http(server):
    for path, body, status in (
        ("/v1/models/everything:predict", b"{", 400),
        ("/v1/models/nope:predict", b'{"instances": [1]}', 404),
        ("/v1/models/everything:predict?a=b", b"{}", 400),
        ("/metrics", None, 404),
    ):
        answered, headers, answer = post(server, path, body)
        assert answered == status
        assert headers["Content-Type"] == "application/json"
        assert list(json.loads(answer)) == ["error"]


def test_labels_and_percent_encoding_over_http(server):
    body = b'{"signature_name": "add", "instances": [1]}'
    path = "/v1/models/every%74hing/labels/stable:predict"
    assert post(server, path, body)[0] == 200


def test_a_model_with_ops_of_tensorflow_text(server):
    assert predict(server.url, "characters", ["häßlich", ""]) == [7, 0]


def test_a_document_of_several_megabytes(server):
    text = "0123456789abcdef" * 250_000
    [row] = predict(server.url, "everything", [text])
    assert row["length"] == len(text)


def test_status_over_http(server):
    assert get_status(server.url, "everything") == {1: "AVAILABLE"}
    assert get_status(server.url, "characters", version=3) == {3: "AVAILABLE"}


def test_the_server_answers_while_it_computes(server):
    slow = threading.Thread(
        target=post,
        args=(
            server,
            "/v1/models/everything:predict",
            b'{"signature_name": "slow", "instances": [2000000000]}',
        ),
    )
    slow.start()
    time.sleep(0.3)  # it has begun
    assert get_status(server.url, "everything") == {1: "AVAILABLE"}
    assert predict(server.url, "characters", ["abc"]) == [3]
    assert slow.is_alive()
    slow.join()


def test_many_requests_at_once(server):
    answers = {}

    def ask(number):
        answers[number] = predict(
            server.url, "everything", [number], signature_name="add"
        )

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {n: [float(n)] for n in range(24)}


def test_the_server_survives_broken_connections(server):
    host, port = server.url.removeprefix("http://").split(":")
    for sent in (
        b"POST /v1/models/everything:predict HTTP/1.1\r\nContent-Length: 99\r\n\r\n{",
        b"not http at all\r\n\r\n",
        b"",
    ):
        with socket.create_connection((host, int(port)), timeout=5) as connection:
            connection.sendall(sent)
    assert get_status(server.url, "everything") == {1: "AVAILABLE"}
    assert "Traceback" not in server.read_output()


def test_peak_memory(server):
    assert 2**27 < server.peak_memory() < 2**34


def test_the_server_holds_nothing_that_it_does_not_need(server):
    mapped = Path(f"/proc/{server.pid}/maps").read_text()
    assert "tensorflow_text" in mapped  # its ops are there
    for package in ("h5py", "jaxlib", "scipy", "sklearn", "torch"):
        assert f"/site-packages/{package}/" not in mapped


def test_loading_does_not_warn(server):
    assert "deprecated" not in server.read_output()


def test_it_says_one_line_when_ready(server):
    lines = [line for line in server.read_output().splitlines() if "Serving" in line]
    assert lines == [f"Serving everything, characters at {server.url}"]
    assert server.url.startswith("http://127.0.0.1:")


def wait_for(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not reached in time"
        time.sleep(0.05)


@pytest.mark.slow
def test_versions_come_and_go_while_serving(tmp_path):
    base_path = tmp_path / "m"
    save_everything(base_path, 1, offset=1.0)
    options = ServerOptions(
        model_name="m",
        model_base_path=base_path,
        rest_api_port=0,
        file_system_poll_wait_seconds=0.1,
        max_num_load_retries=0,
    )
    with ServerProcess(options) as server:

        def add_zero():
            [answer] = predict(server.url, "m", [0], signature_name="add")
            return answer

        assert add_zero() == 1.0
        aside = save_everything(tmp_path / "aside", 2, offset=2.0)
        aside.rename(base_path / "2")
        wait_for(lambda: add_zero() == 2.0)
        wait_for(lambda: get_status(server.url, "m") == {2: "AVAILABLE", 1: "END"})
        with pytest.raises(ServerAnswerError, match="404") as raised:
            predict(server.url, "m", [0], signature_name="add", version=1)
        assert raised.value.status == 404

        (base_path / "3").mkdir()  # holds no model
        wait_for(lambda: get_status(server.url, "m").get(3) == "END")
        assert add_zero() == 2.0
        _, _, answer = post(server, "/v1/models/m/versions/3", None)
        [entry] = json.loads(answer)["model_version_status"]
        assert entry["status"]["error_code"] == "NOT_FOUND"
        assert "SavedModel file does not exist" in entry["status"]["error_message"]

        shutil.rmtree(base_path / "3")
        shutil.rmtree(base_path / "2")
        wait_for(lambda: add_zero() == 1.0)
        output = server.read_output()
    assert "Could not load version 3 of model m (attempt 1 of 1)" in output


@pytest.mark.slow
def test_batches_metrics_and_models_that_come_and_go(tmp_path, everything_path):
    entries = [
        {
            "name": name,
            "base_path": str(everything_path),
            "model_platform": "tensorflow",
        }
        for name in ("one", "two")
    ]
    config = write_model_config(tmp_path / "models.config", entries[0])
    monitoring = tmp_path / "monitoring.config"
    monitoring.write_text("prometheus_config { enable: true }")
    batching = tmp_path / "batching.config"
    batching.write_text(
        "max_batch_size { value: 8 } batch_timeout_micros { value: 20000 }"
    )
    options = ServerOptions(
        model_config_file=config,
        model_config_file_poll_wait_seconds=0.1,
        port=find_free_port(),
        rest_api_port=0,
        enable_batching=True,
        batching_parameters_file=batching,
        monitoring_config_file=monitoring,
    )
    with ServerProcess(options) as server:

        def read_metrics():
            page = post(server, "/monitoring/prometheus/metrics", None)[2].decode()
            lines = [line.rsplit(" ", 1) for line in page.splitlines()]
            return {name: float(value) for name, value in lines if "#" not in name}

        answers = {}

        def work(n):
            answers[n] = predict(server.url, "one", [n, 1], signature_name="add")

        threads = [threading.Thread(target=work, args=(n,)) for n in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == {n: [n, 1] for n in range(16)}
        metrics = read_metrics()
        ok = ':tensorflow:serving:request_count{model_name="%s",status="OK"}'
        assert metrics[ok % "one"] == 16
        session = ":tensorflow:serving:batching_session:"
        assert metrics[f"{session}wrapped_run_count{{}}"] < 16
        assert metrics[f"{session}processed_batch_size_sum{{}}"] == 32
        with pytest.raises(ServerAnswerError, match="Task size 9 is larger"):
            predict(server.url, "one", [1] * 9, signature_name="add")

        state = ':keras_performer:serving:model_version_state{model_name="%s",'
        state += 'version="1",state="AVAILABLE"}'
        write_model_config(config, entries[1])
        wait_for(lambda: state % "two" in read_metrics())
        wait_for(lambda: state % "one" not in read_metrics())
        assert predict(server.url, "two", [3], signature_name="add") == [3]
        request = predict_pb2.PredictRequest()
        request.model_spec.name = "two"
        request.inputs["text"].CopyFrom(tf.make_tensor_proto(["abc"]))
        with grpc.insecure_channel(f"127.0.0.1:{options.port}") as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            response = stub.Predict(request, timeout=20)
        assert list(response.outputs["label"].string_val) == [b"odd"]
        with pytest.raises(ServerAnswerError, match="404"):
            predict(server.url, "one", [3], signature_name="add")
        assert "Traceback" not in server.read_output()


@pytest.mark.slow
def test_encryption_and_a_token(tmp_path, everything_path, monkeypatch):
    folder = make_certificates(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "ca.pem"))
    tokens = tmp_path / "tokens"
    tokens.write_text("0123456789abcdef")
    options = ServerOptions(
        model_name="m",
        model_base_path=str(everything_path),
        rest_api_port=0,
        port=find_free_port(),
        rest_api_enable_ssl=True,
        ssl_config_file=write_ssl_config(folder),
        api_token_file=tokens,
        enable_web_view=True,
    )
    with ServerProcess(options) as server:
        assert server.url.startswith("https://")
        _, headers, page = post(server, "/monitoring/ui", None)
        assert headers["Content-Type"] == "text/html; charset=utf-8"
        assert b'data-metrics="/monitoring/prometheus/metrics"' in page
        assert post(server, "/monitoring/prometheus/metrics", None)[0] == 401
        assert get_status(server.url, "m") == {1: "AVAILABLE"}
        with pytest.raises(ServerAnswerError, match="401"):
            predict(server.url, "m", [0], signature_name="add")
        token = tokens.read_text()
        assert predict(server.url, "m", [0], "add", api_token=token) == [0]
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = "m"
        authority = (folder / "ca.pem").read_bytes()
        credentials = grpc.ssl_channel_credentials(authority)
        address = f"127.0.0.1:{options.port}"
        with grpc.secure_channel(address, credentials) as channel:
            stub = model_service_pb2_grpc.ModelServiceStub(channel)
            with pytest.raises(grpc.RpcError, match="UNAUTHENTICATED"):
                stub.GetModelStatus(request, timeout=20)
            metadata = [("authorization", f"Bearer {token}")]
            assert stub.GetModelStatus(request, timeout=20, metadata=metadata)


@pytest.mark.slow
def test_a_signal_stops_the_server_after_the_running_request(everything_path):
    options = ServerOptions(
        model_name="m", model_base_path=str(everything_path), rest_api_port=0
    )
    with ServerProcess(options) as server:
        answers = []
        request = threading.Thread(
            target=lambda: answers.append(
                predict(server.url, "m", [200_000], signature_name="slow")
            )
        )
        request.start()
        time.sleep(0.7)  # it has begun
        os.kill(server.pid, signal.SIGTERM)
        request.join()
        assert server.wait(timeout=30) == 0
        assert answers == [[200_000]]
        assert "Traceback" not in server.read_output()
        with pytest.raises(ConnectionError, match="No server answers"):
            get_status(server.url, "m")
        with pytest.raises(OSError):
            server.peak_memory()


def test_a_signal_stops_a_server_with_a_request_that_never_ends(everything_path):
    program = (
        "import sys\n"
        "sys.argv = ['keras-performer']\n"  # which imports no Keras
        "from keras_performer.server import ServerOptions, serve, server\n"
        "server._GRACE_SECONDS = 1\n"
        "serve(ServerOptions(model_name='m', rest_api_port=0, "
        f"rest_api_timeout_in_ms=0, model_base_path={str(everything_path)!r}))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True
    )
    with process:
        url = process.stdout.readline().split()[-1]
        answers = []

        def ask():
            try:
                predict(url, "m", [2_000_000_000], signature_name="slow")
            except (ServerAnswerError, ConnectionError) as error:
                answers.append(error)

        stuck = threading.Thread(target=ask)
        stuck.start()
        time.sleep(0.7)  # it has begun
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0
        stuck.join()
        assert "503" in str(answers[0])


@pytest.mark.slow
def test_a_signal_while_loading_stops_the_server(everything_path):
    program = (
        "import os, signal\n"
        "from keras_performer.server import ServerOptions, serve, server\n"
        "def interrupted(path, **options):\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    raise AssertionError('the signal was not seen')\n"
        "server.Servable = interrupted\n"
        f"serve(ServerOptions(model_base_path={str(everything_path)!r}))\n"
        "print('ended')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "ended\n"), done.stderr


def test_an_occupied_port(everything_path):
    with contextlib.closing(socket.socket()) as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        message = f"rest_api_port={port}: Address already in use"
        with pytest.raises(ValueError, match=message):
            serve(ServerOptions(model_base_path=everything_path, rest_api_port=port))


def test_an_occupied_port_of_grpc(everything_path):
    with contextlib.closing(socket.socket()) as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        options = ServerOptions(
            model_base_path=everything_path, rest_api_port=0, port=port
        )
        with pytest.raises(ValueError, match=f"gRPC at 127.0.0.1:{port}"):
            serve(options)


def test_an_address_that_is_not_there(everything_path):
    options = ServerOptions(
        model_base_path=everything_path, rest_api_port=0, rest_api_host="192.0.2.1"
    )
    with pytest.raises(
        ValueError, match=r"Cannot listen at rest_api_host='192\.0\.2\.1'"
    ):
        serve(options)


@pytest.mark.slow
def test_a_base_path_that_is_missing_or_has_no_version(tmp_path):
    options = ServerOptions(model_base_path=tmp_path, rest_api_port=0)
    with pytest.raises(ValueError, match="No versions of model default found"):
        serve(options)
    options = ServerOptions(model_base_path=tmp_path / "nowhere", rest_api_port=0)
    with (
        pytest.raises(RuntimeError, match="ended with code 2 before it was") as raised,
        ServerProcess(options),
    ):
        pass
    assert f"Could not find base path {tmp_path / 'nowhere'}" in str(raised.value)


@pytest.mark.slow
def test_a_server_that_is_not_ready_in_time(everything_path):
    options = ServerOptions(model_base_path=str(everything_path), rest_api_port=0)
    with (
        pytest.raises(TimeoutError, match=r"not ready within 0\.1 seconds"),
        ServerProcess(options, start_timeout=0.1),
    ):
        pass
