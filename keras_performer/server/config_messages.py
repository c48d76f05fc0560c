"""TensorFlow Serving's configuration messages that its Python package does not carry.

They are described here by field names, numbers and types, so that their text form is
read as TensorFlow Serving reads it: unknown fields and wrong types are errors.
"""

import functools
import os
from pathlib import Path
from typing import Any

from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
    wrappers_pb2,
)

METRICS_PATH = "/monitoring/prometheus/metrics"

_FIELD = descriptor_pb2.FieldDescriptorProto

_PACKAGE = "tensorflow.serving"

_INT64 = "google.protobuf.Int64Value"

_MESSAGES: dict[str, dict[str, tuple[int, Any]]] = {
    "PrometheusConfig": {
        "enable": (1, _FIELD.TYPE_BOOL),
        "path": (2, _FIELD.TYPE_STRING),
    },
    "MonitoringConfig": {"prometheus_config": (1, f"{_PACKAGE}.PrometheusConfig")},
    "SSLConfig": {
        "server_key": (1, _FIELD.TYPE_STRING),
        "server_cert": (2, _FIELD.TYPE_STRING),
        "custom_ca": (3, _FIELD.TYPE_STRING),
        "client_verify": (4, _FIELD.TYPE_BOOL),
    },
    "BatchingParameters": {
        "max_batch_size": (1, _INT64),
        "batch_timeout_micros": (2, _INT64),
        "max_enqueued_batches": (3, _INT64),
        "num_batch_threads": (4, _INT64),
        "thread_pool_name": (5, "google.protobuf.StringValue"),
        "allowed_batch_sizes": (6, [_FIELD.TYPE_INT64]),
        "pad_variable_length_inputs": (7, _FIELD.TYPE_BOOL),
        "enable_large_batch_splitting": (8, "google.protobuf.BoolValue"),
        "max_execution_batch_size": (9, _INT64),
    },
}


def read_config(name: str, path: str | os.PathLike[str], flag: str) -> Any:
    """Read a file with a message in text form.

    Args:
        name: of the message, such as `"MonitoringConfig"`.
        path: the file.
        flag: what named the file, for the error.

    Returns:
        The message.

    Raises:
        ValueError: the file is missing, or is not such a message.
    """
    pool = _make_pool()
    message_class = message_factory.GetMessageClass(
        pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")
    )
    try:
        return text_format.Parse(
            Path(path).read_text(encoding="utf-8"),
            message_class(),
            descriptor_pool=pool,
        )
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        fields = ", ".join(_MESSAGES[name])
        raise ValueError(
            f"Cannot read {flag}={str(path)!r}: {error}. Expected a {name} in text "
            f"form, with the fields {fields}."
        ) from error


@functools.cache
def _make_pool() -> descriptor_pool.DescriptorPool:
    file = descriptor_pb2.FileDescriptorProto(
        name="keras_performer/server/config_messages.proto",
        package=_PACKAGE,
        syntax="proto3",
        dependency=[wrappers_pb2.DESCRIPTOR.name],
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            label = _FIELD.LABEL_OPTIONAL
            if isinstance(kind, list):
                [kind] = kind
                label = _FIELD.LABEL_REPEATED
            added = message.field.add(name=field, number=number, label=label)
            if isinstance(kind, str):
                added.type, added.type_name = _FIELD.TYPE_MESSAGE, f".{kind}"
            else:
                added.type = kind
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(file.SerializeToString())
    return pool


def read_metrics_path(path: str | os.PathLike[str]) -> str:
    """The path of the page for Prometheus that a `MonitoringConfig` file asks for.

    Args:
        path: the file.

    Returns:
        The path in URLs, or `""` where the file asks for no such page.

    Raises:
        ValueError: the file does not fit.
    """
    config = read_config("MonitoringConfig", path, "monitoring_config_file")
    prometheus = config.prometheus_config
    if not prometheus.enable:
        return ""
    metrics_path = prometheus.path or METRICS_PATH
    if not metrics_path.startswith("/"):
        raise ValueError(
            f"monitoring_config_file={str(path)!r} has path: {metrics_path!r}; a path "
            "in URLs begins with a slash."
        )
    return metrics_path
