"""The TensorFlow Serving messages that the server reads and writes."""

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

from google.protobuf.message import DecodeError

from keras_performer.extras import pip_line
from keras_performer.server.json.values import invalid


def import_protos() -> SimpleNamespace:
    """Import the messages, which come with an optional package.

    Returns:
        Namespace with one message class under each name, and `make_status_response`,
        a function from a list of `VersionStatus` to a `GetModelStatusResponse`.

    Raises:
        ImportError: the package is missing or does not fit; the message has the line
            that installs it.
    """
    try:
        from tensorflow_serving.apis import (
            classification_pb2,
            get_model_metadata_pb2,
            get_model_status_pb2,
            inference_pb2,
            model_management_pb2,
            model_pb2,
            predict_pb2,
            prediction_log_pb2,
            regression_pb2,
        )
        from tensorflow_serving.config import model_server_config_pb2
    except ImportError as error:
        raise ImportError(
            "Serving needs the package tensorflow-serving-api of TensorFlow's own "
            f"minor version ({error}). Install it with: "
            f"{pip_line('serving')}"
        ) from error

    def make_status_response(statuses: Iterable[Any]) -> Any:
        response = get_model_status_pb2.GetModelStatusResponse()
        for status in statuses:
            entry = response.model_version_status.add()
            entry.version = status.version
            entry.state = get_model_status_pb2.ModelVersionStatus.State.Value(
                status.state
            )
            entry.status.SetInParent()
            if status.error is not None:
                entry.status.error_code = status.error.number
                entry.status.error_message = status.error.message
        return response

    return SimpleNamespace(
        ClassificationRequest=classification_pb2.ClassificationRequest,
        ClassificationResponse=classification_pb2.ClassificationResponse,
        GetModelMetadataRequest=get_model_metadata_pb2.GetModelMetadataRequest,
        GetModelMetadataResponse=get_model_metadata_pb2.GetModelMetadataResponse,
        GetModelStatusRequest=get_model_status_pb2.GetModelStatusRequest,
        GetModelStatusResponse=get_model_status_pb2.GetModelStatusResponse,
        ModelServerConfig=model_server_config_pb2.ModelServerConfig,
        ModelSpec=model_pb2.ModelSpec,
        ModelVersionStatus=get_model_status_pb2.ModelVersionStatus,
        MultiInferenceRequest=inference_pb2.MultiInferenceRequest,
        MultiInferenceResponse=inference_pb2.MultiInferenceResponse,
        PredictRequest=predict_pb2.PredictRequest,
        PredictResponse=predict_pb2.PredictResponse,
        PredictionLog=prediction_log_pb2.PredictionLog,
        RegressionRequest=regression_pb2.RegressionRequest,
        RegressionResponse=regression_pb2.RegressionResponse,
        ReloadConfigRequest=model_management_pb2.ReloadConfigRequest,
        ReloadConfigResponse=model_management_pb2.ReloadConfigResponse,
        SignatureDefMap=get_model_metadata_pb2.SignatureDefMap,
        make_status_response=make_status_response,
    )


def parse_message(message_class: Any, body: bytes) -> Any:
    """Read a message.

    Args:
        message_class: its class.
        body: its bytes.

    Raises:
        ServingError: `INVALID_ARGUMENT`.
    """
    try:
        return message_class.FromString(body)
    except DecodeError as error:
        raise invalid("The request is no such message") from error


def get_first_field(body: bytes) -> bytes:
    """The bytes of field 1 of a message, a text or a message, where it comes first.

    Args:
        body: the bytes of the message.

    >>> get_first_field(bytes([10, 3]) + b"abc")
    b'abc'
    """
    if body[:1] != b"\n":  # the field's number and kind
        return b""
    size = shift = 0
    for start, byte in enumerate(body[1:10], 2):
        size |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return body[start : start + size]
    return b""
