"""The configurations for TensorFlow Serving in `serving/` are what it would accept."""

import re
from pathlib import Path

from keras_performer.server.config_messages import read_config, read_metrics_path
from keras_performer.server.model_config import read_model_config_file

SERVING = Path(__file__).resolve().parents[2] / "serving"

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
    path = SERVING / "batching.config"
    parameters = read_config("BatchingParameters", path, "batching_parameters_file")
    assert parameters.max_batch_size.value == 16
    assert parameters.num_batch_threads.value >= 1
    assert not parameters.pad_variable_length_inputs


def test_monitoring_config():
    path = read_metrics_path(SERVING / "monitoring.config")
    assert path in read("README.md")


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
