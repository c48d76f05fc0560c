"""Requests that a server replays before it serves a version, as it starts cold."""

import pathlib
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import tensorflow as tf

from keras_performer.extras import pip_line

WARM_UP_FILE = "assets.extra/tf_serving_warmup_requests"

Request = tuple[str, Mapping[str, Any]]  # name of a signature, and its inputs


def warm_up_text(length: int) -> list[str]:
    """A batch of one text of so many bytes."""
    return [("Ten bytes " * length)[:length]]


def write_warm_up(path: pathlib.Path, name: str, requests: Iterable[Request]) -> None:
    """Writes requests where TensorFlow Serving looks for them.

    Where the extra `serving` is not installed, they are left out with a warning.

    Args:
        path: Folder of the version.
        name: Name of the model.
        requests: Pairs of the name of a signature and a dictionary from the name of an
            input to its value.
    """
    try:
        from tensorflow_serving.apis import predict_pb2, prediction_log_pb2
    except ImportError:
        warnings.warn(
            f"No warm-up requests are in the exported model {name!r}, so its first "
            "answers take longer. They are written with the protocol of TensorFlow "
            f"Serving: {pip_line('serving')}",
            stacklevel=5,
        )
        return
    (path / WARM_UP_FILE).parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path / WARM_UP_FILE)) as writer:
        for signature, inputs in requests:
            request = predict_pb2.PredictRequest()
            request.model_spec.name = name
            request.model_spec.signature_name = signature
            for key, value in inputs.items():
                request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
            log = prediction_log_pb2.PredictionLog(
                predict_log=prediction_log_pb2.PredictLog(request=request)
            )
            writer.write(log.SerializeToString())
