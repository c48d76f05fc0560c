"""The configurations for TensorFlow Serving in `serving/` are what it would accept."""

import dataclasses
import re
from pathlib import Path

import pytest
import yaml

from keras_performer.server.config_messages import read_config, read_metrics_path
from keras_performer.server.model_config import read_model_config_file
from keras_performer.server.server_options import (
    TENSORFLOW_SERVING_FLAGS,
    ServerOptions,
)

SERVING = Path(__file__).resolve().parents[2] / "serving"

ACTIONS = ("httpGet", "tcpSocket")  # of probes

READY = "/v1/models/documents/metadata"


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


@pytest.mark.parametrize("path", sorted(SERVING.iterdir()), ids=lambda path: path.name)
def test_flags_are_known(path):
    """Of TensorFlow Serving, or of this server alone."""
    ours = {field.name for field in dataclasses.fields(ServerOptions)}
    flags = set(re.findall(r"--(\w+_\w+)\b", path.read_text(encoding="utf-8")))
    known = ours.union(TENSORFLOW_SERVING_FLAGS)
    if path.suffix == ".service" or path.name == "Dockerfile":
        known = ours
    assert flags <= known


def test_kubernetes_manifests():
    documents = list(yaml.safe_load_all(read("kubernetes.yaml")))
    manifests = {manifest["kind"]: manifest for manifest in documents}
    assert len(documents) == len(manifests) == 4
    config = manifests["ConfigMap"]["data"]
    for name, text in config.items():
        lines = [line for line in read(name).splitlines() if not line.startswith("#")]
        assert text.split() == " ".join(lines).split()
    pod = manifests["Deployment"]["spec"]["template"]
    [container] = pod["spec"]["containers"]
    for argument in container["args"]:
        if argument.startswith("--") and "/config/" in argument:
            assert argument.rpartition("/")[2] in config
    # All that keep an eye on it look at what is there.
    ports = {port["name"] for port in container["ports"]}
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        [action] = [container[probe][k] for k in container[probe] if k in ACTIONS]
        assert action["port"] in ports
        assert action.get("path", READY) == READY
    annotations = pod["metadata"]["annotations"]
    assert annotations["prometheus.io/path"] in config["monitoring.config"]
    labels = pod["metadata"]["labels"]
    for kind in ("Service", "PodDisruptionBudget", "Deployment"):
        selector = manifests[kind]["spec"]["selector"]
        assert selector.get("matchLabels", selector) == labels
    # Time for the wait before the signal and for the longest request.
    wait = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    [limit] = re.findall(r"timeout_in_ms=(\d+)", " ".join(container["args"]))
    grace = pod["spec"]["terminationGracePeriodSeconds"]
    assert grace > wait + int(limit) / 1000


def test_the_unit_of_systemd_waits_for_the_longest_request():
    unit = read("keras-performer.service")
    [limit] = re.findall(r"timeout_in_ms=(\d+)", unit)
    [grace] = re.findall(r"TimeoutStopSec=(\d+)", unit)
    assert int(grace) > int(limit) / 1000


def test_the_container_gets_all_that_the_build_needs():
    sent = set(re.findall(r"^!(\S+)", read("Dockerfile.dockerignore"), re.MULTILINE))
    assert sent >= {"keras_performer", "pyproject.toml", "README.md", "constraints.txt"}
    assert all((SERVING.parent / name).exists() for name in sent)


def test_one_version_of_the_image():
    [composed] = re.findall(r"TF_SERVING_VERSION:-([\d.]+)", read("compose.yaml"))
    for name in ("README.md", "kubernetes.yaml"):
        named = re.findall(r"tensorflow/serving:([\d.]+\d)", read(name))
        assert set(named) == {composed}
