"""Changes of the model configuration file while the server runs."""

import time

import pytest
from served_models import write_model_config

from keras_performer.server.model_config_watcher import ModelConfigWatcher


class FakeRepository:
    """Notes what is asked of it."""

    def __init__(self):
        self.reloads = []
        self.unloads = 0
        self.errors = []

    def reload(self, configs):
        self.reloads.append([config.name for config in configs])
        return self.errors

    def unload_unwanted(self):
        self.unloads += 1


def entry(name):
    base_path = f"/models/{name}"
    return {"name": name, "base_path": base_path, "model_platform": "tensorflow"}


@pytest.fixture
def repository():
    return FakeRepository()


@pytest.fixture
def path(tmp_path):
    return write_model_config(tmp_path / "models.config", entry("one"))


def test_a_change_is_taken_over_once(path, repository):
    watcher = ModelConfigWatcher(path, repository, 1)
    watcher.poll()
    assert (repository.reloads, repository.unloads) == ([], 1)
    write_model_config(path, entry("one"), entry("two"))
    for _ in range(3):
        watcher.poll()
    assert repository.reloads == [["one", "two"]]
    assert repository.unloads == 3


def test_what_could_not_be_done_is_tried_again(path, repository):
    watcher = ModelConfigWatcher(path, repository, 1)
    write_model_config(path, entry("two"))
    repository.errors = ["a label"]
    watcher.poll()
    repository.errors = []
    watcher.poll()
    watcher.poll()
    assert repository.reloads == [["two"]] * 2


def test_a_file_that_does_not_fit_changes_nothing(path, repository, caplog):
    watcher = ModelConfigWatcher(path, repository, 1)
    content = path.read_bytes()
    path.write_text("model_config_list { konfig {} }")
    watcher.poll()
    watcher.poll()
    assert caplog.text.count('no field named "konfig"') == 1  # not at each look
    path.unlink()
    watcher.poll()
    assert "No such file" in caplog.text
    assert repository.reloads == []
    path.write_bytes(content)
    watcher.poll()
    assert repository.reloads == []


def test_it_looks_in_a_thread_until_it_is_closed(path, repository):
    watcher = ModelConfigWatcher(path, repository, 0.01)
    watcher.start()
    write_model_config(path, entry("two"))
    end = time.monotonic() + 10
    while not repository.reloads:
        assert time.monotonic() < end
        time.sleep(0.01)
    watcher.close()
    watcher.close()
    count = repository.unloads
    time.sleep(0.05)
    assert repository.unloads == count
