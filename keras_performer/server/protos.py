"""The TensorFlow Serving messages that the server reads and writes."""

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

from google.protobuf.message import DecodeError

from keras_performer.extras import pip_line


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
        DecodeError=DecodeError,
        GetModelMetadataRequest=get_model_metadata_pb2.GetModelMetadataRequest,
        GetModelMetadataResponse=get_model_metadata_pb2.GetModelMetadataResponse,
        GetModelStatusRequest=get_model_status_pb2.GetModelStatusRequest,
        GetModelStatusResponse=get_model_status_pb2.GetModelStatusResponse,
        ModelServerConfig=model_server_config_pb2.ModelServerConfig,
        ModelSpec=model_pb2.ModelSpec,
        ModelVersionStatus=get_model_status_pb2.ModelVersionStatus,
        PredictRequest=predict_pb2.PredictRequest,
        PredictResponse=predict_pb2.PredictResponse,
        PredictionLog=prediction_log_pb2.PredictionLog,
        RegressionRequest=regression_pb2.RegressionRequest,
        RegressionResponse=regression_pb2.RegressionResponse,
        SignatureDefMap=get_model_metadata_pb2.SignatureDefMap,
        make_status_response=make_status_response,
    )
