"""The models that options and a model configuration file ask for."""

from pathlib import Path

import pytest
from served_models import write_model_config

from keras_performer.server.model_config import (
    get_model_configs,
    read_model_config_file,
)
from keras_performer.server.server_options import ServerOptions

DOCUMENTS = {
    "name": "documents",
    "base_path": "/models/documents",
    "model_platform": "tensorflow",
}


def test_a_single_model_from_options(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = ServerOptions(model_name="documents", model_base_path="saved/documents")
    [config] = get_model_configs(options)
    assert config.name == "documents"
    assert config.base_path == tmp_path / "saved/documents"
    assert config.policy({1, 2}) == {2}


def test_several_models_from_a_file(tmp_path):
    path = write_model_config(
        tmp_path / "models.config",
        DOCUMENTS,
        DOCUMENTS
        | {
            "name": "other",
            "model_version_policy": {"specific": {"versions": [1, 3]}},
            "version_labels": {"stable": 1},
        },
        DOCUMENTS
        | {"name": "two", "model_version_policy": {"latest": {"num_versions": 2}}},
        DOCUMENTS | {"name": "all", "model_version_policy": {"all": {}}},
    )
    configs = get_model_configs(ServerOptions(model_config_file=str(path)))
    assert [config.name for config in configs] == ["documents", "other", "two", "all"]
    assert configs[0].base_path == Path("/models/documents")
    assert [config.policy({1, 2, 3}) for config in configs] == [
        {3},
        {1, 3},
        {2, 3},
        {1, 2, 3},
    ]
    assert [dict(config.labels) for config in configs] == [{}, {"stable": 1}, {}, {}]


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([], "model_config_list is empty"),
        ([DOCUMENTS, DOCUMENTS], "list model documents multiple times"),
        ([DOCUMENTS | {"name": ""}], "a model has no name"),
        ([DOCUMENTS | {"model_platform": ""}], "unsupported platform ''"),
        ([DOCUMENTS | {"model_platform": "caffe"}], "unsupported platform 'caffe'"),
        ([DOCUMENTS | {"base_path": "models"}], "documents to have an absolute path"),
        ([DOCUMENTS | {"logging_config": {}}], "logging_config of model documents"),
    ],
)
def test_refused_entries(tmp_path, entries, message):
    path = write_model_config(tmp_path / "models.config", *entries)
    with pytest.raises(ValueError, match=message):
        read_model_config_file(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"model_config_list { konfig {} }", 'no field named "konfig"'),
        (b"\xff", "Cannot read model_config_file"),
        (b"custom_model_config {}", "custom_model_config is not supported"),
    ],
)
def test_refused_files(tmp_path, content, message):
    path = tmp_path / "models.config"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_model_config_file(path)


def test_a_missing_file():
    with pytest.raises(
        ValueError, match=r"No such file or directory.*model_config_list"
    ):
        read_model_config_file("/nowhere/models.config")
