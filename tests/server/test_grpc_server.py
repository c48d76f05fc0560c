"""The gRPC interface, asked by TensorFlow Serving's own stubs."""

import asyncio
import contextlib
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
import tensorflow as tf
from certificates import make_certificates, write_ssl_config
from free_port import find_free_port
from served_models import edit_saved_model, save_everything, save_examples
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from keras_performer.server.access_log import AccessLog
from keras_performer.server.admission import Admission
from keras_performer.server.api_tokens import ApiTokens
from keras_performer.server.batcher import Batcher
from keras_performer.server.batching_parameters import BatchingParameters
from keras_performer.server.deadline import Deadline
from keras_performer.server.grpc_handler import GrpcHandler
from keras_performer.server.grpc_server import GrpcServer
from keras_performer.server.metrics import Metrics
from keras_performer.server.model_config import ModelConfig
from keras_performer.server.model_repository import ModelRepository
from keras_performer.server.scheduler import Scheduler
from keras_performer.server.servable import Servable
from keras_performer.server.serving_error import ServingError
from keras_performer.server.ssl_config import read_ssl_config


@contextlib.contextmanager
def serving(repository, metrics, batching=None, **options):
    """Runs the server in a thread; yields its address."""
    address = f"127.0.0.1:{find_free_port()}"
    ready, ended = threading.Event(), threading.Event()

    async def serve(pool):
        admission = Admission(2, 1, 100, 0)
        batcher = None
        if batching:
            batcher = Batcher(batching, 100, admission, pool, metrics)
        server = GrpcServer(
            address,
            GrpcHandler(repository, metrics),
            Scheduler(admission, pool, batcher),
            pool,
            metrics,
            AccessLog(),
            timeout_in_ms=5000,
            max_request_bytes=2**20,
            max_requests=50,
            has_health_service=True,
            **options,
        )
        await server.start()
        ready.set()
        while not ended.is_set():
            await asyncio.sleep(0.01)
        await server.stop(1)

    with ThreadPoolExecutor(4) as pool:
        thread = threading.Thread(target=lambda: asyncio.run(serve(pool)))
        thread.start()
        try:
            assert ready.wait(20)
            yield address
        finally:
            ended.set()
            thread.join()


@pytest.fixture(scope="module")
def repository(everything_path, tmp_path_factory):
    examples = tmp_path_factory.mktemp("models") / "examples"
    save_examples(examples)
    configs = [
        ModelConfig("m", everything_path, labels={"stable": 1}),
        ModelConfig("examples", examples),
    ]
    repository = ModelRepository(configs, Servable, poll_wait_seconds=0)
    repository.start()
    yield repository
    repository.close()


@pytest.fixture(scope="module")
def metrics():
    return Metrics()


@pytest.fixture(scope="module")
def channel(repository, metrics):
    with (
        serving(repository, metrics) as address,
        grpc.insecure_channel(address) as channel,
    ):
        yield channel


@pytest.fixture
def stub(channel):
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


def make_request(signature_name="", outputs=(), **inputs):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "m"
    request.model_spec.signature_name = signature_name
    request.output_filter.extend(outputs)
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return request


def test_predict(stub):
    response = stub.Predict(make_request(text=["ab", "abc"]), timeout=20)
    assert response.model_spec.name == "m"
    assert response.model_spec.signature_name == "serving_default"
    assert response.model_spec.version.value == 1
    assert list(response.outputs["label"].string_val) == [b"even", b"odd"]
    # In the field of the type, as TensorFlow Serving has it.
    assert list(response.outputs["probabilities"].float_val) == [0.75, 0.25, 0.5, 0.5]
    assert tf.make_ndarray(response.outputs["probabilities"]).shape == (2, 2)
    assert response.outputs["text_bytes"].string_val[0] == b"ab"


def test_arrays_and_other_signatures(stub):
    request = make_request(
        "mixed",
        x=np.ones([1, 3], "float32"),
        scale=np.array([2.0]),
        negate=np.array([True]),
    )
    response = stub.Predict(request)
    np.testing.assert_array_equal(tf.make_ndarray(response.outputs["y"]), [[-2.0] * 3])
    assert list(response.outputs["negated"].bool_val) == [True]
    ids = np.array([[1, 2], [3, 4]], np.int32)
    response = stub.Predict(make_request("tokens", token_ids=ids))
    assert list(response.outputs["total"].int64_val) == [3, 7]


def test_half_precision(stub):
    x = np.array([1.5, -2], np.float16)
    response = stub.Predict(make_request("half", x=x))
    np.testing.assert_array_equal(tf.make_ndarray(response.outputs["y"]), x)


def test_the_last_value_stands_for_those_that_are_not_given(stub):
    request = make_request("add", x=np.array([1, 2], np.float32))
    request.inputs["x"].CopyFrom(
        tf.make_tensor_proto(np.array([1.0], np.float32), shape=[3])
    )
    assert list(stub.Predict(request).outputs["y"].float_val) == [1.0] * 3


def test_some_outputs_and_labels(stub):
    request = make_request(outputs=["length"], text=["abc"])
    request.model_spec.version_label = "stable"
    assert list(stub.Predict(request).outputs) == ["length"]


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        (lambda r: r.model_spec.Clear(), "INVALID_ARGUMENT", "has no name specified"),
        (lambda r: r.ClearField("model_spec"), "INVALID_ARGUMENT", "Missing ModelSpec"),
        (
            lambda r: setattr(r.model_spec, "name", "n"),
            "NOT_FOUND",
            r"Servable not found for request: Latest\(n\)",
        ),
        (
            lambda r: setattr(r.model_spec.version, "value", 5),
            "NOT_FOUND",
            r"Specific\(m, 5\)",
        ),
        (
            lambda r: setattr(r.model_spec, "version_label", "x"),
            "INVALID_ARGUMENT",
            "Unrecognized servable version label: x",
        ),
        (
            lambda r: setattr(r.model_spec, "signature_name", "x"),
            "FAILED_PRECONDITION",
            'Serving signature key "x" not found',
        ),
        (
            lambda r: r.inputs["more"].CopyFrom(tf.make_tensor_proto(1)),
            "INVALID_ARGUMENT",
            r"2!=1 len\({more,text}\) != len\({text}\). Sent extra: {more}",
        ),
        (
            lambda r: r.inputs["text"].CopyFrom(tf.make_tensor_proto([1])),
            "INVALID_ARGUMENT",
            r"Expects arg\[0\] to be string but int32 is provided",
        ),
        (
            lambda r: r.inputs["text"].CopyFrom(tf.make_tensor_proto([1.0])),
            "INVALID_ARGUMENT",
            r"Expects arg\[0\] to be string but float is provided",
        ),
        (
            lambda r: setattr(r.inputs["text"], "dtype", 99),
            "INVALID_ARGUMENT",
            "to be string but unknown",
        ),
        (
            lambda r: r.inputs["other"].CopyFrom(r.inputs.pop("text")),
            "INVALID_ARGUMENT",
            r"alias: text\(feed name: serving_default_text:0\) not found in request",
        ),
        (
            lambda r: setattr(r.inputs["text"].tensor_shape, "unknown_rank", True),
            "INVALID_ARGUMENT",
            "tensor parsing error: text",
        ),
        (lambda r: r.output_filter.append("x"), "INVALID_ARGUMENT", "alias not found"),
        (
            lambda r: r.output_filter.extend(["label", "label"]),
            "INVALID_ARGUMENT",
            "duplicate output tensor alias: label",
        ),
    ],
)
def test_predict_errors(stub, change, code, message):
    request = make_request(text=["a", "b"])
    change(request)
    with pytest.raises(grpc.RpcError, match=message) as raised:
        stub.Predict(request, timeout=20)
    assert raised.value.code() == grpc.StatusCode[code]


def test_a_long_error_is_cut_off(stub):
    request = make_request("é" * 1000, text=["a"])
    with pytest.raises(grpc.RpcError) as raised:
        stub.Predict(request, timeout=20)
    start = 'Serving signature key "'
    kept = "é" * ((1024 - len(start)) // 2)
    assert raised.value.details() == start + kept + "...TRUNCATED"


def test_a_signature_without_inputs(stub):
    assert list(stub.Predict(make_request("no_input")).outputs["y"].float_val) == [1]


def test_a_value_that_the_signature_has_for_an_input(tmp_path, metrics):
    path = save_everything(tmp_path / "m")

    def edit(meta_graph):
        default = meta_graph.signature_def["mixed"].defaults["scale"]
        default.CopyFrom(tf.make_tensor_proto([2.0], tf.float64))

    edit_saved_model(path, edit)
    repository = ModelRepository(
        [ModelConfig("m", tmp_path / "m")], Servable, poll_wait_seconds=0
    )
    repository.start()
    handler = GrpcHandler(repository, metrics)

    def predict(**inputs):
        body = make_request("mixed", **inputs).SerializeToString()
        method = handler.methods["/tensorflow.serving.PredictionService/Predict"]
        answer = method(body, Deadline()).run()
        return predict_pb2.PredictResponse.FromString(answer).outputs["y"].float_val

    x = np.ones((1, 3), np.float32)
    assert list(predict(x=x, negate=[False])) == [2, 2, 2]
    assert list(predict(x=x, negate=[False], scale=np.array([3.0]))) == [3, 3, 3]
    with pytest.raises(ServingError, match=r"alias: x\(.*{negate,nope}, .*set: scale$"):
        predict(negate=[False], nope=[1])
    with pytest.raises(ServingError, match="Used request inputs: negate,x, request in"):
        predict(x=x, negate=[False], nope=[1])
    repository.close()


@pytest.mark.parametrize("sizes", [(2**30, 2**30), (2**17,), (-1,)])
def test_a_small_message_of_a_large_tensor(stub, sizes):
    for request, name in (
        (make_request(text=["a"]), "text"),
        (make_request("tokens", token_ids=np.array([[1]], np.int32)), "token_ids"),
    ):
        tensor = request.inputs[name]
        del tensor.tensor_shape.dim[:]
        for size in sizes:
            tensor.tensor_shape.dim.add(size=size)
        with pytest.raises(grpc.RpcError) as raised:
            stub.Predict(request, timeout=20)
        assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_a_deadline_breaks_off_what_computes(stub):
    steps = np.array([2_000_000_000], np.int32)
    with pytest.raises(grpc.RpcError) as raised:
        stub.Predict(make_request("slow", steps=steps), timeout=0.3)
    assert raised.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert stub.Predict(make_request(text=["abc"]), timeout=20).outputs


@pytest.mark.parametrize(
    ("limit", "remaining", "expected"),
    [(0, None, 0), (0, 2.5, 2500), (1000, None, 1000), (1000, 2.5, 1000), (9, 0.0, 1)],
)
def test_the_earlier_of_two_time_limits_holds(limit, remaining, expected):
    class Context:
        def time_remaining(self):
            return remaining

    server = GrpcServer("", None, None, None, None, None, limit, 1, 1)
    assert server._get_deadline(Context())._timeout_in_ms == expected


def test_a_message_over_the_limit(stub):
    with pytest.raises(grpc.RpcError) as raised:
        stub.Predict(make_request(text=["x" * 2**21]), timeout=20)
    assert raised.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    text = "x" * 500_000  # read in a thread
    response = stub.Predict(make_request(outputs=["length"], text=[text]), timeout=20)
    assert list(response.outputs["length"].int_val) == [500_000]


def test_metadata(stub):
    request = get_model_metadata_pb2.GetModelMetadataRequest()
    request.model_spec.name = "m"
    with pytest.raises(grpc.RpcError, match="at least one metadata_field"):
        stub.GetModelMetadata(request)
    request.metadata_field.append("signature_def")
    response = stub.GetModelMetadata(request)
    assert response.model_spec.version.value == 1
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    assert "tokens" in signatures.signature_def
    request.metadata_field.append("x")
    with pytest.raises(grpc.RpcError, match="Metadata field x is not supported"):
        stub.GetModelMetadata(request)


def test_status(channel):
    stub = model_service_pb2_grpc.ModelServiceStub(channel)
    request = get_model_status_pb2.GetModelStatusRequest()
    with pytest.raises(grpc.RpcError, match="Missing ModelSpec"):
        stub.GetModelStatus(request)
    request.model_spec.name = "m"
    [entry] = stub.GetModelStatus(request).model_version_status
    assert (entry.version, entry.State.Name(entry.state)) == (1, "AVAILABLE")
    request.model_spec.version.value = 2
    with pytest.raises(grpc.RpcError, match="Could not find version 2 of model m"):
        stub.GetModelStatus(request)


def make_examples(request, signature_name, *values, context=False):
    request.model_spec.name = "examples"
    request.model_spec.signature_name = signature_name
    examples = request.input.example_list
    if context:
        examples = request.input.example_list_with_context
        examples.context.features.feature["x"].float_list.value.append(values[0])
    for value in values:
        example = examples.examples.add()
        if not context:
            example.features.feature["x"].float_list.value.append(value)
    return request


def test_classify(stub):
    request = classification_pb2.ClassificationRequest()
    response = stub.Classify(make_examples(request, "classify", 0.25, 0.75))
    assert response.model_spec.version.value == 1
    assert [
        [(one.label, one.score) for one in row.classes]
        for row in response.result.classifications
    ] == [[("no", 0.5), ("yes", 0.25)], [("no", 0.5), ("yes", 0.75)]]
    request = classification_pb2.ClassificationRequest()
    response = stub.Classify(make_examples(request, "scores", 0.25))
    [row] = response.result.classifications
    assert [(one.label, one.score) for one in row.classes] == [("", 0.5), ("", 0.25)]


def test_regress(stub):
    request = make_examples(regression_pb2.RegressionRequest(), "regress", 1.5, 2.0)
    values = [one.value for one in stub.Regress(request).result.regressions]
    assert values == [1.5, 2.0]
    request = make_examples(
        regression_pb2.RegressionRequest(), "regress", 3.0, 0.0, context=True
    )
    values = [one.value for one in stub.Regress(request).result.regressions]
    assert values == [3.0, 3.0]


@pytest.mark.parametrize(
    ("signature", "values", "message"),
    [
        ("regress", [], "Input is empty"),
        ("nothing", [1.0], "No signature was found with the name: nothing"),
        ("classify", [1.0], "Expected one output Tensor"),
        ("longer", [1.0], "Input batch size did not match output batch size"),
    ],
)
def test_regress_errors(stub, signature, values, message):
    request = make_examples(regression_pb2.RegressionRequest(), signature, *values)
    with pytest.raises(grpc.RpcError, match=message) as raised:
        stub.Regress(request)
    assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def make_tasks(*tasks, values=(0.25, 0.75)):
    """A request with a task for each pair of a signature and a method."""
    request = inference_pb2.MultiInferenceRequest()
    for signature_name, method in tasks:
        task = request.tasks.add(method_name=f"tensorflow/serving/{method}")
        task.model_spec.name = "examples"
        task.model_spec.signature_name = signature_name
    for value in values:
        example = request.input.example_list.examples.add()
        example.features.feature["x"].float_list.value.append(value)
    return request


def test_several_inferences_of_the_same_examples(stub):
    request = make_tasks(("classify", "classify"), ("regress", "regress"))
    first, second = stub.MultiInference(request, timeout=20).results
    assert first.model_spec.signature_name == "classify"
    assert second.model_spec.version.value == 1
    rows = first.classification_result.classifications
    assert [[(c.label, c.score) for c in row.classes] for row in rows] == [
        [("no", 0.5), ("yes", 0.25)],
        [("no", 0.5), ("yes", 0.75)],
    ]
    values = [one.value for one in second.regression_result.regressions]
    assert values == [0.25, 0.75]


@pytest.mark.parametrize(
    ("tasks", "change", "code", "message"),
    [
        ([], {}, "INVALID_ARGUMENT", "has no name specified"),
        (
            [("regress", "regress"), ("classify", "classify")],
            {"name": ""},
            "INVALID_ARGUMENT",
            "Found ModelSpec with an empty model name",
        ),
        (
            [("regress", "regress"), ("classify", "classify")],
            {"name": "m"},
            "INVALID_ARGUMENT",
            "must access the same model name",
        ),
        (
            [("regress", "regress")] * 2,
            {},
            "INVALID_ARGUMENT",
            "Duplicate evaluation of signature: regress",
        ),
        (
            [("x", "regress")],
            {},
            "INVALID_ARGUMENT",
            "Requested signature not found in model graph: x",
        ),
        (
            [("regress", "predict")],
            {},
            "UNIMPLEMENTED",
            "Unsupported signature method_name: tensorflow/serving/predict",
        ),
        (
            [("classify", "regress")],
            {},
            "INVALID_ARGUMENT",
            "Expected one output Tensor",
        ),
    ],
)
def test_errors_of_several_inferences(stub, tasks, change, code, message):
    request = make_tasks(*tasks)
    for name, value in change.items():
        setattr(request.tasks[-1].model_spec, name, value)
    with pytest.raises(grpc.RpcError, match=message) as raised:
        stub.MultiInference(request, timeout=20)
    assert raised.value.code() == grpc.StatusCode[code]
    with pytest.raises(grpc.RpcError, match="Input is empty"):
        stub.MultiInference(make_tasks(("regress", "regress"), values=[]))


def test_models_are_reloaded_beside_other_requests(channel, everything_path, tmp_path):
    request = model_management_pb2.ReloadConfigRequest()
    with pytest.raises(grpc.RpcError, match="Only ModelConfigList is") as raised:
        model_service_pb2_grpc.ModelServiceStub(channel).HandleReloadConfigRequest(
            request
        )
    assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    begun, may_go_on = threading.Event(), threading.Event()

    def load(path):
        begun.set()
        assert may_go_on.wait(20)
        return Servable(path)

    repository = ModelRepository([], load, poll_wait_seconds=0)
    with (
        serving(repository, Metrics()) as address,
        grpc.insecure_channel(address) as other,
    ):
        models = model_service_pb2_grpc.ModelServiceStub(other)
        request.config.model_config_list.config.add(
            name="m", base_path=str(everything_path), model_platform="tensorflow"
        )
        call = models.HandleReloadConfigRequest.future(request, timeout=30)
        assert begun.wait(20)
        assert other.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=20)
        may_go_on.set()
        assert call.result().HasField("status")
        assert call.result().status.error_code == 0
        stub = prediction_service_pb2_grpc.PredictionServiceStub(other)
        assert stub.Predict(make_request(text=["abc"]), timeout=20).outputs
    repository.close()


def test_health(channel, repository):
    check = channel.unary_unary("/grpc.health.v1.Health/Check")
    # HealthCheckRequest(service=...) and HealthCheckResponse(status=SERVING).
    assert check(b"") == check(b"\n\x0cModelService") == b"\x08\x01"
    with pytest.raises(grpc.RpcError) as raised:
        check(b"\n\x01x")
    assert raised.value.code() == grpc.StatusCode.NOT_FOUND


def test_a_watch_of_health_ends_with_the_server(repository):
    with (
        contextlib.ExitStack() as stack,
        grpc.insecure_channel(
            stack.enter_context(serving(repository, Metrics()))
        ) as channel,
    ):
        watch = channel.unary_stream("/grpc.health.v1.Health/Watch")
        served, unknown = watch(b"", timeout=20), watch(b"\n\x01x", timeout=20)
        assert (next(served), next(unknown)) == (b"\x08\x01", b"\x08\x03")
        stack.close()  # the server stops
        assert (list(served), list(unknown)) == ([b"\x08\x02"], [])


def test_bytes_that_are_no_message(channel):
    call = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
    with pytest.raises(grpc.RpcError, match="no such message"):
        call(b"\xff\xff")


def test_requests_are_counted(stub, metrics):
    stub.Predict(make_request(text=["a"]))
    with pytest.raises(grpc.RpcError):
        stub.Predict(make_request())
    page = metrics.write().decode()
    count = ':tensorflow:serving:request_count{model_name="m",status="%s"} '
    assert count % "OK" in page
    assert count % "INVALID_ARGUMENT" in page
    assert 'model_name="m",API="Predict",entrypoint="GRPC"' in page
    assert 'model_name="m",API="Predict",runtime="TF1"' in page
    assert 'model_name="n"' not in page  # not served, so it counts for none


def test_batches(repository):
    metrics = Metrics()
    parameters = BatchingParameters(batch_timeout_micros=50_000)
    with (
        serving(repository, metrics, parameters) as address,
        grpc.insecure_channel(address) as channel,
    ):
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        calls = [
            stub.Predict.future(make_request(text=["x" * n, "y"])) for n in range(8)
        ]
        for n, call in enumerate(calls):
            assert list(call.result(20).outputs["length"].int_val) == [n, 1]
    assert ":batching_session:wrapped_run_count{} 1\n" in metrics.write().decode()


def test_encryption_and_tokens(repository, tmp_path):
    folder = make_certificates(tmp_path)
    authority, certificate, key = (
        (folder / name).read_bytes() for name in ("ca.pem", "client.pem", "client.key")
    )
    path = write_ssl_config(folder, custom_ca=authority.decode(), client_verify=True)
    with serving(
        repository,
        Metrics(),
        api_tokens=ApiTokens(["0123456789abcdef"]),
        ssl_config=read_ssl_config(path),
    ) as address:
        credentials = grpc.ssl_channel_credentials(authority, key, certificate)
        with grpc.secure_channel(address, credentials) as channel:
            assert channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=20)
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            request = make_request(text=["abc"])
            with pytest.raises(grpc.RpcError, match="Bearer TOKEN") as raised:
                stub.Predict(request, timeout=20)
            assert raised.value.code() == grpc.StatusCode.UNAUTHENTICATED
            metadata = [("authorization", "Bearer 0123456789abcdef")]
            assert stub.Predict(request, timeout=20, metadata=metadata).outputs
        unknown = grpc.ssl_channel_credentials(authority)
        with grpc.secure_channel(address, unknown) as channel:
            with pytest.raises(grpc.RpcError) as raised:
                channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=20)
            assert raised.value.code() == grpc.StatusCode.UNAVAILABLE


def test_a_port_that_is_taken(repository):
    async def start(address):
        handler, metrics = GrpcHandler(repository, Metrics()), Metrics()
        server = GrpcServer(
            address, handler, None, None, metrics, AccessLog(), 0, 2**20, 5
        )
        try:
            await server.start()
        finally:
            await server.stop(0)

    with contextlib.closing(socket.socket()) as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(ValueError, match=f"Cannot listen for gRPC at {address}"):
            asyncio.run(start(address))
