"""Each URL and verb: its answer, or its error with TensorFlow Serving's words."""

import contextlib
import json
import re
import time

import pytest
from served_models import save_everything, save_examples

from keras_performer.server.deadline import Deadline
from keras_performer.server.model_config import ModelConfig, every
from keras_performer.server.model_repository import ModelRepository
from keras_performer.server.rest_handler import RestHandler, _parse_target
from keras_performer.server.servable import Servable
from keras_performer.server.serving_error import ServingError

PREDICT = b"/v1/models/everything:predict"


def make_handler(stack, base_path, timeout_in_ms=0, **config):
    config = ModelConfig("everything", base_path, **config)
    repository = ModelRepository([config], Servable, poll_wait_seconds=0)
    stack.callback(repository.close)
    repository.start()
    return RestHandler(repository, timeout_in_ms)


@pytest.fixture(scope="module")
def stack():
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.fixture(scope="module")
def handler(stack, everything_path):
    return make_handler(stack, everything_path)


@pytest.fixture(scope="module")
def two_versions(stack, tmp_path_factory):
    base_path = tmp_path_factory.mktemp("models") / "two"
    save_everything(base_path, version="007", offset=7.0)
    save_everything(base_path, version=9, offset=9.0)
    labels = {"stable": 7, "ca nary": 9}
    return make_handler(stack, base_path, policy=every(), labels=labels)


def ask(handler, method, path, body=b""):
    status, answer = handler.answer(method, path, body)
    return status, json.loads(answer)


def predict(handler, path=PREDICT, **request):
    return ask(handler, "POST", path, json.dumps(request).encode())


def error(handler, method, path, body=b""):
    status, answer = ask(handler, method, path, body)
    assert list(answer) == ["error"]
    return status, answer["error"]


def test_predict_text_in_row_format(handler):
    status, answer = predict(handler, instances=["ab", "abc"])
    assert status == 200
    assert answer == {
        "predictions": [
            {
                "label": "even",
                "length": 2,
                "probabilities": [0.75, 0.25],
                "text_bytes": {"b64": "YWI="},
            },
            {
                "label": "odd",
                "length": 3,
                "probabilities": [0.5, 0.5],
                "text_bytes": {"b64": "YWJj"},
            },
        ]
    }


def test_predict_text_in_columnar_format(handler):
    status, answer = predict(handler, inputs={"text": ["ab"]})
    assert status == 200
    assert answer == {
        "outputs": {
            "label": ["even"],
            "length": [2],
            "probabilities": [[0.75, 0.25]],
            "text_bytes": [{"b64": "YWI="}],
        }
    }


@pytest.mark.parametrize(
    ("request_body", "answer"),
    [
        (
            {"signature_name": "tokens", "instances": [[1, 2], [3, 4]]},
            {"predictions": [3, 7]},
        ),
        ({"signature_name": "tokens", "inputs": [[1, 2]]}, {"outputs": [3]}),
        ({"signature_name": "add", "instances": [{"x": 1}]}, {"predictions": [1.0]}),
        ({"signature_name": "add", "inputs": []}, {"outputs": []}),
        (
            {
                "signature_name": "mixed",
                "instances": [
                    {"x": [1, 2, 3], "scale": 2, "negate": False},
                    {"x": [1, 2, 3], "scale": 0.5, "negate": True},
                ],
            },
            {
                "predictions": [
                    {"negated": False, "scale": 2.0, "y": [2.0, 4.0, 6.0]},
                    {"negated": True, "scale": 0.5, "y": [-0.5, -1.0, -1.5]},
                ]
            },
        ),
        ({"signature_name": "mean", "inputs": [1, 2]}, {"outputs": 1.5}),
        ({"signature_name": "joined", "inputs": ["a", "b"]}, {"outputs": "ab\0"}),
        ({"signature_name": "none", "instances": [1]}, {"predictions": []}),
        (
            {"signature_name": "uneven", "inputs": [1]},
            {"outputs": {"one": [1.0], "two": [1.0, 1.0]}},
        ),
    ],
)
def test_predict_other_signatures(handler, request_body, answer):
    assert predict(handler, **request_body) == (200, answer)


def test_bytes_go_in_and_out_unchanged(handler):
    body = b'{"instances": [{"b64": "AP9h"}, "\xff"]}'
    status, answer = ask(handler, "POST", PREDICT, body)
    assert status == 200
    rows = answer["predictions"]
    assert [row["text_bytes"] for row in rows] == [{"b64": "AP9h"}, {"b64": "/w=="}]


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"", 400, "JSON Parse error: The document is empty"),
        (b"{", 400, "JSON Parse error: Missing a name for object member."),
        (b"[1]", 400, "JSON Value: [1] Is not object"),
        (
            b'{"signature_name": 100}',
            400,
            "'signature_name' key must be a string value.",
        ),
        (
            b'{"signature_name": "nope", "instances": [1]}',
            400,
            'Serving signature name: "nope" not found in signature def',
        ),
        (
            b'{"signature_name": "no_input", "inputs": []}',
            400,
            "Failed to get input map for signature: no_input",
        ),
        (b'{"instances": [1]}', 400, "is not of expected type: string"),
        (
            b'{"signature_name": "mean", "instances": [1, 2]}',
            400,
            "Tensor name: mean has no shape information ",
        ),
        (
            b'{"signature_name": "uneven", "instances": [1]}',
            400,
            "Tensor name: two has inconsistent batch size: 2 expecting: 1",
        ),
        (
            b'{"signature_name": "failing", "instances": [1, 2]}',
            400,
            "Input to reshape is a tensor with 2 values, but the requested shape has 7",
        ),
        (b'{"signature_name": "add", "inputs": [[1]]}', 400, "of shape (1, 1)"),
        (b'{"signature_name": "half", "inputs": [1]}', 501, "to type: half"),
        (
            b'{"signature_name": "to_half", "inputs": [1]}',
            400,
            "Failed to write JSON value for tensor type: half",
        ),
        (b'{"instances": ' + b"[" * 900 + b"]" * 900 + b"}", 400, "more than 32 deep"),
    ],
)
def test_predict_errors(handler, body, status, message):
    answered, words = error(handler, "POST", PREDICT, body)
    assert answered == status
    assert message in words
    assert "Graph execution error" not in words


@pytest.mark.parametrize("depth", [33, 300, 600, 900, 950, 970, 980, 990, 1000, 5000])
def test_no_depth_of_lists_is_an_internal_error(handler, depth):
    nested = b"[" * depth + b"]" * depth
    for body in (
        b'{"instances": %b}' % nested,
        b'{"inputs": {"text": %b}}' % nested,
        b'{"instances": {"a": %b}}' % nested,
        b'{"instances": [{"text": %b, "b": 1}]}' % nested,
        nested,
    ):
        status, message = error(handler, "POST", PREDICT, body)
        assert status == 400
        assert len(message) < 11_000


def test_a_computation_that_takes_too_long(stack, everything_path):
    handler = make_handler(stack, everything_path, timeout_in_ms=200)
    body = b'{"signature_name": "slow", "instances": [2000000000]}'
    status, message = error(handler, "POST", PREDICT, body)
    assert status == 504
    assert "--rest_api_timeout_in_ms" in message
    body = b'{"signature_name": "slow", "instances": [3]}'
    assert ask(handler, "POST", PREDICT, body) == (200, {"predictions": [3]})


def test_status(handler):
    expected = {
        "model_version_status": [
            {
                "version": "1",
                "state": "AVAILABLE",
                "status": {"error_code": "OK", "error_message": ""},
            }
        ]
    }
    for path in (b"", b"/versions/1", b"/versions/0001", b"/labels/any"):
        assert ask(handler, "GET", b"/v1/models/everything" + path) == (200, expected)


def test_metadata(handler):
    status, answer = ask(handler, "GET", b"/v1/models/everything/metadata")
    assert status == 200
    assert answer["model_spec"] == {
        "name": "everything",
        "version": "1",
        "signature_name": "",
    }
    signatures = answer["metadata"]["signature_def"]["signature_def"]
    assert signatures["tokens"]["inputs"] == {
        "token_ids": {
            "dtype": "DT_INT32",
            "name": "tokens_token_ids:0",
            "tensor_shape": {
                "dim": [{"size": "-1", "name": ""}, {"size": "-1", "name": ""}],
                "unknown_rank": False,
            },
        }
    }
    assert signatures["serving_default"]["method_name"] == "tensorflow/serving/predict"
    assert set(signatures["serving_default"]["outputs"]) == {
        "label",
        "length",
        "probabilities",
        "text_bytes",
    }


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        (b"", 10.0),
        (b"/versions/9", 10.0),
        (b"/versions/7", 8.0),
        (b"/labels/stable", 8.0),
        (b"/labels/ca%20nary", 10.0),
    ],
)
def test_predict_with_a_version_or_label(two_versions, path, answer):
    path = b"/v1/models/everything" + path + b":predict"
    request = {"signature_name": "add", "instances": [1]}
    assert predict(two_versions, path, **request) == (200, {"predictions": [answer]})


def test_metadata_of_a_version_or_label(two_versions):
    for path, version in ((b"", "9"), (b"/versions/7", "7"), (b"/labels/stable", "7")):
        path = b"/v1/models/everything" + path + b"/metadata"
        _, answer = ask(two_versions, "GET", path)
        assert answer["model_spec"]["version"] == version


def test_status_tells_the_highest_version_first(two_versions):
    _, answer = ask(two_versions, "GET", b"/v1/models/everything")
    versions = [entry["version"] for entry in answer["model_version_status"]]
    assert versions == ["9", "7"]


def test_names_are_percent_decoded_and_urls_match_in_any_case(handler):
    assert ask(handler, "GET", b"/V1/Models/%65verything")[0] == 200
    path = b"/v1/MODELS/everythin%67/VERSIONS/1:predict"
    assert predict(handler, path, instances=["a"])[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", b"/v1/models/x", 404, "Could not find any versions of model x"),
        (
            "GET",
            b"/v1/models/everything/versions/5",
            404,
            "Could not find version 5 of model everything",
        ),
        (
            "GET",
            b"/v1/models/x/metadata",
            404,
            "Servable not found for request: Latest(x)",
        ),
        (
            "GET",
            b"/v1/models/everything/versions/5/metadata",
            404,
            "Servable not found for request: Specific(everything, 5)",
        ),
        (
            "POST",
            b"/v1/models/x:predict",
            404,
            "Servable not found for request: Latest(x)",
        ),
        (
            "POST",
            b"/v1/models/everything/versions/5:predict",
            404,
            "Servable not found for request: Specific(everything, 5)",
        ),
        (
            "POST",
            b"/v1/models/everything/labels/nope:predict",
            400,
            "Unrecognized servable version label: nope",
        ),
        (
            "POST",
            b"/v1/models/everything/versions/18446744073709551615:predict",
            400,
            "Failed to convert version: 18446744073709551615 to numeric.",
        ),
        ("GET", b"/v1/models", 400, "Missing model name in request."),
        (
            "GET",
            b"/v1/models/everything?x=1",
            404,
            "Could not find any versions of model everything?x=1",
        ),
        ("GET", b"/v1/foo", 400, "Malformed request: GET /v1/foo"),
        ("GET", b"/v1/models/a/b", 400, "Malformed request: GET /v1/models/a/b"),
        ("GET", PREDICT, 400, f"Malformed request: GET {PREDICT.decode()}"),
        ("POST", b"/v1/models/x", 400, "Malformed request: POST /v1/models/x"),
        (
            "POST",
            b"/v1/models/x:PREDICT",
            400,
            "Malformed request: POST /v1/models/x:PREDICT",
        ),
        (
            "POST",
            b"/v1/models/x/versions/1/labels/a:predict",
            400,
            "Malformed request: POST /v1/models/x/versions/1/labels/a:predict",
        ),
        (
            "POST",
            b"/v1/models/x/versions/a:predict",
            400,
            "Malformed request: POST /v1/models/x/versions/a:predict",
        ),
        ("PUT", PREDICT, 400, f"Malformed request: PUT {PREDICT.decode()}"),
        ("HEAD", b"/v1/models/x", 400, "Malformed request: HEAD /v1/models/x"),
        ("GET", b"/", 404, "Malformed request: GET /"),
        ("GET", b"/\xff", 404, "Malformed request: GET /\\xff"),
    ],
)
def test_what_is_not_there(handler, method, path, status, message):
    body = b'{"instances": [1]}'
    assert error(handler, method, path, body) == (status, message)


def test_the_body_is_parsed_before_the_model_is_looked_up(handler):
    status, message = error(handler, "POST", b"/v1/models/x:predict", b"{")
    assert (status, message[:10]) == (400, "JSON Parse")


@pytest.mark.parametrize(
    ("verb", "signature", "message"),
    [
        ("classify", "serving_default", "Expected one or two output Tensors, found 4"),
        ("classify", "mixed", "Expected one input Tensor."),
        ("regress", "uneven", "Expected one output Tensor."),
        ("regress", "add", "No regression inputs found in SignatureDef: "),
        ("classify", "add", "No classification inputs found in SignatureDef: "),
        ("classify", "nope", "No signature was found with the name: nope"),
    ],
)
def test_classify_and_regress_want_their_own_signatures(
    handler, verb, signature, message
):
    path = f"/v1/models/everything:{verb}".encode()
    request = {"signature_name": signature, "examples": [{"x": 1.0}]}
    status, words = error(handler, "POST", path, json.dumps(request).encode())
    assert status == 400
    assert words.startswith(message)
    assert error(handler, "POST", path, b"{}")[0] == 400


@pytest.fixture(scope="module")
def examples_handler(stack, tmp_path_factory):
    base_path = tmp_path_factory.mktemp("models") / "examples"
    save_examples(base_path)
    return make_handler(stack, base_path)


@pytest.mark.parametrize(
    ("signature", "results"),
    [
        ("classify", [[["no", 0.5], ["yes", 1.5]], [["no", 0.5], ["yes", 2.0]]]),
        ("scores", [[["", 0.5], ["", 1.5]], [["", 0.5], ["", 2.0]]]),
        ("regress", [1.5, 2.0]),
    ],
)
def test_classify_and_regress_signatures_of_tensorflow_2(
    examples_handler, signature, results
):
    verb = "regress" if signature == "regress" else "classify"
    path = f"/v1/models/everything:{verb}".encode()
    request = {"signature_name": signature, "examples": [{"x": 1.5}, {"x": 2.0}]}
    body = json.dumps(request).encode()
    assert ask(examples_handler, "POST", path, body) == (200, {"results": results})


@pytest.mark.parametrize(
    ("verb", "signature", "message"),
    [
        ("classify", "flat", r"shape: \[batch_size num_classes\] but got \[1\]"),
        ("classify", "integers", "scores Tensor of DT_FLOAT. Got: DT_INT64"),
        ("classify", "other_batch", "scores output batch size of 1. Got: 2"),
        ("regress", "wide", r"\[batch_size, 1\] but got \[1,2\]"),
        ("regress", "longer", "batch size did not match output batch size: 1 vs. 2"),
        ("regress", "whole", "output Tensor of DT_FLOAT.  Got: DT_INT64"),
        ("classify", "regress", "to contain at least one of"),
    ],
)
def test_outputs_that_are_no_results(examples_handler, verb, signature, message):
    path = f"/v1/models/everything:{verb}".encode()
    request = {"signature_name": signature, "examples": [{"x": 1.5}]}
    body = json.dumps(request).encode()
    status, words = error(examples_handler, "POST", path, body)
    assert status == 400
    assert re.search(message, words)


@pytest.mark.parametrize("digits", [4400, 20])
def test_a_version_of_many_digits(handler, digits):
    version = b"9" * digits
    for path in (
        b"/v1/models/everything/versions/%b" % version,
        b"/v1/models/everything/versions/%b:predict" % version,
    ):
        method = "POST" if path.endswith(b"predict") else "GET"
        status, message = error(handler, method, path, b"{}")
        assert (status, message[:26]) == (400, "Failed to convert version:")
    path = b"/v1/models/everything/versions/" + b"0" * digits + b"1"
    assert ask(handler, "GET", path)[0] == 200


def test_an_error_of_an_op_does_not_tell_of_the_python_that_made_it(handler):
    body = b'{"signature_name": "failing", "instances": [1, 2]}'
    _, message = error(handler, "POST", PREDICT, body)
    assert "Detected at node" not in message
    assert ".py" not in message


def test_the_time_limit_counts_all_that_a_request_takes(handler):
    rows = b'{"signature_name": "add", "instances": [' + b"1," * 10 + b"1]}"
    deadline = Deadline(1)
    time.sleep(0.002)
    with pytest.raises(ServingError, match="--rest_api_timeout_in_ms") as raised:
        handler.read("POST", PREDICT, rows, deadline)
    assert raised.value.http_status == 504
    deadline = Deadline(10_000)
    read = handler.read("POST", PREDICT, rows, deadline)
    deadline._end = 0
    with pytest.raises(ServingError, match="DEADLINE_EXCEEDED"):
        read.run()


def test_a_version_is_free_again_when_its_request_was_dropped(stack, tmp_path):
    repository = ModelRepository(
        [ModelConfig("everything", tmp_path)], Servable, poll_wait_seconds=0
    )
    save_everything(tmp_path)
    repository.start()
    handler = RestHandler(repository, 0)
    handler.read("POST", PREDICT, b'{"instances": ["a"]}', Deadline()).drop()
    with contextlib.suppress(ServingError):
        handler.read("POST", PREDICT, b'{"instances": [1]}', Deadline())
    repository.close()  # waits for those that use a version


def test_what_a_request_asks_of_a_model(handler):
    for request, cost in (
        ({"instances": ["abc", "", "abcde"]}, 15),
        ({"signature_name": "tokens", "instances": [[1, 2], [3, 4]]}, 4),
        (
            {
                "signature_name": "mixed",
                "inputs": {"x": [], "scale": 1, "negate": [True]},
            },
            2,
        ),
    ):
        body = json.dumps(request).encode()
        read = handler.read("POST", PREDICT, body, Deadline())
        read.drop()
        assert read.cost == cost


@pytest.mark.parametrize(
    ("method", "path", "counted"),
    [
        ("POST", PREDICT, ("everything", "predict")),
        (
            "POST",
            b"/v1/models/everything/versions/9:classify",
            ("everything", "classify"),
        ),
        ("GET", b"/v1/models/every%74hing/metadata", ("everything", "")),
        ("GET", b"/v1/models/everything", ("everything", "")),
        ("POST", b"/v1/models/made-up:predict", ("", "")),
        (
            "POST",
            b"/v1/models/everything/versions/" + b"9" * 50 + b":predict",
            ("", ""),
        ),
        ("PUT", PREDICT, ("", "")),
    ],
)
def test_what_a_request_counts_for(handler, method, path, counted):
    assert handler.identify(method, path) == counted


def test_a_path_is_taken_apart_once(handler):
    path = b"/v1/models/everything/versions/007/metadata"
    missed = _parse_target.cache_info().misses
    assert handler.identify("GET", path) == ("everything", "")
    assert handler.get_action("GET", path) == "metadata"
    assert ask(handler, "GET", path)[0] == 404
    assert _parse_target.cache_info().misses == missed + 1
