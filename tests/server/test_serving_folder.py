"""The configurations for TensorFlow Serving in `serving/` are what it would accept."""

import re
from pathlib import Path

import pytest
from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
    wrappers_pb2,
)

from keras_performer.server.model_config import read_model_config_file

SERVING = Path(__file__).resolve().parents[2] / "serving"

FIELD = descriptor_pb2.FieldDescriptorProto

# Flags of tensorflow_model_server 2.20 that the files here use.
KNOWN_FLAGS = {
    "allow_version_labels_for_unavailable_models",
    "batching_parameters_file",
    "enable_batching",
    "file_system_poll_wait_seconds",
    "model_base_path",
    "model_config_file",
    "model_config_file_poll_wait_seconds",
    "model_name",
    "monitoring_config_file",
    "rest_api_port",
    "rest_api_timeout_in_ms",
}


def make_message(name, **fields):
    """A message class, for messages that tensorflow-serving-api does not carry.

    Args:
        name: of the message.
        **fields: name of a field: (number, type), where a type is one of the types of
            protobuf or the full name of a message.
    """
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{name}.proto",
        package="tests",
        syntax="proto3",
        dependency=["google/protobuf/wrappers.proto"],
    )
    message = file.message_type.add(name=name)
    for field, (number, kind) in fields.items():
        if isinstance(kind, str):
            message.field.add(
                name=field,
                number=number,
                label=FIELD.LABEL_OPTIONAL,
                type=FIELD.TYPE_MESSAGE,
                type_name=kind,
            )
        else:
            message.field.add(
                name=field, number=number, label=FIELD.LABEL_OPTIONAL, type=kind
            )
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"tests.{name}"))


def read(name):
    return (SERVING / name).read_text(encoding="utf-8")


def test_models_config():
    [config] = read_model_config_file(SERVING / "models.config")
    assert config.name == "documents"
    assert config.base_path == Path("/models/documents")
    assert config.policy({1, 2}) == {2}


def test_the_labels_explained_in_models_config(tmp_path):
    text = read("models.config")
    explained = re.findall(r"^#   (.*)$", text, re.MULTILINE)
    text = text.replace("model_platform", "\n".join([*explained, "model_platform"]))
    path = tmp_path / "models.config"
    path.write_text(text, encoding="utf-8")
    [config] = read_model_config_file(path)
    assert config.labels == {"stable": 1, "canary": 2}
    assert config.policy({1, 2, 3}) == {1, 2}


def test_batching_config():
    wrapped = ".google.protobuf.Int64Value"
    message = make_message(
        "BatchingParameters",
        max_batch_size=(1, wrapped),
        batch_timeout_micros=(2, wrapped),
        max_enqueued_batches=(3, wrapped),
        num_batch_threads=(4, wrapped),
        pad_variable_length_inputs=(7, FIELD.TYPE_BOOL),
    )
    parameters = text_format.Parse(read("batching.config"), message())
    assert parameters.max_batch_size.value == 16
    assert parameters.num_batch_threads.value >= 1
    assert not parameters.pad_variable_length_inputs
    with pytest.raises(text_format.ParseError):
        text_format.Parse("max_batch { value: 1 }", message())


def test_monitoring_config():
    prometheus = make_message(
        "PrometheusConfig", enable=(1, FIELD.TYPE_BOOL), path=(2, FIELD.TYPE_STRING)
    )
    inner = re.search(
        r"^prometheus_config {(.*)^}",
        read("monitoring.config"),
        re.MULTILINE | re.DOTALL,
    )
    config = text_format.Parse(inner[1], prometheus())
    assert config.enable
    assert config.path in read("README.md")


def test_compose_names_files_that_exist_and_flags_that_are_known():
    compose = read("compose.yaml")
    files = re.findall(r"=/config/(\S+)", compose)
    assert sorted(files) == ["batching.config", "models.config", "monitoring.config"]
    for file in files:
        assert (SERVING / file).exists()
    assert "../saved_models:/models:ro" in compose
    for name in ("compose.yaml", "README.md"):
        flags = set(re.findall(r"--(\w+_\w+)=", read(name))) - {"rest_api_host"}
        assert flags <= KNOWN_FLAGS


def test_one_version_of_the_image():
    [composed] = re.findall(r"TF_SERVING_VERSION:-([\d.]+)", read("compose.yaml"))
    assert set(re.findall(r"tensorflow/serving:([\d.]+\d)", read("README.md"))) == {
        composed
    }
