"""Which models serve, as a request may change it; over gRPC in test_grpc_server."""

import pytest
from tensorflow_serving.apis import model_management_pb2

from keras_performer.server.deadline import Deadline
from keras_performer.server.model_repository import ModelRepository
from keras_performer.server.model_service import ModelService
from keras_performer.server.serving_error import ServingError


class FakeServable:
    def __init__(self, path):
        if (path / "broken").exists():
            raise ServingError("DATA_LOSS", f"{path.name} is broken")

    def close(self):
        pass


@pytest.fixture
def repository(tmp_path):
    for model in ("one", "two"):
        (tmp_path / model / "1").mkdir(parents=True)
    repository = ModelRepository(
        [], FakeServable, poll_wait_seconds=0, max_load_retries=0
    )
    repository.start()
    return repository


def reload(repository, *entries):
    request = model_management_pb2.ReloadConfigRequest()
    request.config.model_config_list.SetInParent()
    for entry in entries:
        request.config.model_config_list.config.add(
            **{"model_platform": "tensorflow"} | entry
        )
    service = ModelService(repository)
    return service.reload_config(request.SerializeToString(), Deadline())()


def test_the_list_replaces_the_models(repository, tmp_path):
    one, two = [
        {"name": name, "base_path": str(tmp_path / name)} for name in ("one", "two")
    ]
    # A ReloadConfigResponse with a status that is OK.
    assert reload(repository, one, two) == b"\n\x00"
    assert repository.has_model("one")
    reload(repository, two)
    assert repository.count_states() == {("two", "1", "AVAILABLE"): 1}
    reload(repository)
    assert repository.count_states() == {}


@pytest.mark.parametrize(
    ("changes", "code", "message"),
    [
        ({"name": ""}, "INVALID_ARGUMENT", "a model has no name"),
        ({"base_path": "one"}, "INVALID_ARGUMENT", "to have an absolute path"),
        ({"version_labels": {"a": 9}}, "FAILED_PRECONDITION", "'a' to version 9"),
        (
            {"base_path": "/nowhere"},
            "UNKNOWN",
            r"1 model\(s\) did not become available: {no version of one found}",
        ),
    ],
)
def test_what_cannot_be_done_is_told(repository, tmp_path, changes, code, message):
    entry = {"name": "one", "base_path": str(tmp_path / "one")}
    with pytest.raises(ServingError, match=message) as raised:
        reload(repository, entry | changes)
    assert raised.value.code == code


def test_a_model_that_cannot_be_loaded_is_told(repository, tmp_path):
    (tmp_path / "one" / "1" / "broken").touch()
    with pytest.raises(ServingError, match="version 1 of one: DATA_LOSS: 1 is broken"):
        reload(repository, {"name": "one", "base_path": str(tmp_path / "one")})
