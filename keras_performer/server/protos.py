"""The TensorFlow Serving messages that the server reads and writes."""

from types import SimpleNamespace

from keras_performer.extras import pip_line


def import_protos() -> SimpleNamespace:
    """Import the messages, which come with an optional package.

    Returns:
        Namespace with one message class under each name.

    Raises:
        ImportError: the package is missing or does not fit; the message has the line
            that installs it.
    """
    try:
        from tensorflow_serving.apis import (
            get_model_metadata_pb2,
            get_model_status_pb2,
            model_pb2,
            prediction_log_pb2,
        )
        from tensorflow_serving.config import model_server_config_pb2
    except ImportError as error:
        raise ImportError(
            "Serving needs the package tensorflow-serving-api of TensorFlow's own "
            f"minor version ({error}). Install it with: "
            f"{pip_line('serving')}"
        ) from error
    return SimpleNamespace(
        GetModelStatusResponse=get_model_status_pb2.GetModelStatusResponse,
        ModelServerConfig=model_server_config_pb2.ModelServerConfig,
        ModelSpec=model_pb2.ModelSpec,
        ModelVersionStatus=get_model_status_pb2.ModelVersionStatus,
        PredictionLog=prediction_log_pb2.PredictionLog,
        SignatureDefMap=get_model_metadata_pb2.SignatureDefMap,
    )
