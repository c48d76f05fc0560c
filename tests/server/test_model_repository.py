"""Versions on disk: which are loaded, which serve, and what is told about them."""

import threading
import time
from pathlib import Path

import pytest

from keras_performer.server.model_config import ModelConfig, every, latest, specific
from keras_performer.server.model_repository import ModelRepository
from keras_performer.server.serving_error import ServingError


class FakeServable:
    """Stands for a model: its file says whether it can be loaded."""

    def __init__(self, path):
        if (path / "broken").exists():
            raise ServingError("DATA_LOSS", f"{path.name} is broken")
        self.path = path
        self.is_closed = False

    def close(self):
        self.is_closed = True


def add_version(base_path, version, broken=False):
    path = Path(base_path) / str(version)
    path.mkdir(parents=True)
    if broken:
        (path / "broken").touch()
    return path


def remove_version(base_path, version):
    path = Path(base_path) / str(version)
    for file in path.iterdir():
        file.unlink()
    path.rmdir()


def make_repository(base_path, policy=None, labels=None, **options):
    options = {"poll_wait_seconds": 0, "max_load_retries": 0} | options
    config = ModelConfig("m", base_path, policy or latest(), labels or {})
    return ModelRepository([config], FakeServable, **options)


def states(repository, name="m"):
    return {s.version: s.state for s in repository.list_statuses(name)}


def served(repository, **which):
    with repository.borrow("m", **which) as (version, servable):
        assert not servable.is_closed
        return version


def test_the_latest_version_is_served(tmp_path):
    for version in ("1", "0002", "10"):
        add_version(tmp_path, version)
    add_version(tmp_path, ".3.tmp")
    add_version(tmp_path, "11.tmp")
    add_version(tmp_path, "99999999999999999999")
    (tmp_path / "12").touch()  # a file is no version
    repository = make_repository(tmp_path)
    repository.start()
    assert states(repository) == {10: "AVAILABLE"}
    assert served(repository) == 10


@pytest.mark.parametrize(
    ("policy", "loaded"),
    [
        (latest(2), {4, 3}),
        (latest(0), {4}),
        (every(), {1, 3, 4}),
        (specific([1, 3, 99]), {1, 3}),
    ],
)
def test_version_policies(tmp_path, policy, loaded):
    for version in (1, 3, 4):
        add_version(tmp_path, version)
    repository = make_repository(tmp_path, policy)
    repository.start()
    assert set(states(repository)) == loaded
    assert served(repository) == max(loaded)
    for version in loaded:
        assert served(repository, version=version) == version


def test_a_new_version_replaces_the_old_one(tmp_path):
    add_version(tmp_path, 1)
    repository = make_repository(tmp_path)
    repository.start()
    with repository.borrow("m") as (_, old):
        pass
    add_version(tmp_path, 2)
    repository.poll()
    assert served(repository) == 2
    assert states(repository) == {2: "AVAILABLE", 1: "END"}
    assert old.is_closed
    with pytest.raises(ServingError, match="Specific"):
        served(repository, version=1)


def test_the_new_version_is_loaded_before_the_old_one_is_unloaded(tmp_path):
    add_version(tmp_path, 1)
    seen = []

    class Watching(FakeServable):
        def __init__(self, path):
            super().__init__(path)
            if path.name == "2":
                seen.append((states(repository), served(repository)))

    repository = make_repository(tmp_path)
    repository._load_servable = Watching
    repository.start()
    add_version(tmp_path, 2)
    repository.poll()
    assert seen == [({2: "LOADING", 1: "AVAILABLE"}, 1)]


def test_a_broken_new_version_leaves_the_old_one_serving(tmp_path):
    add_version(tmp_path, 1)
    repository = make_repository(tmp_path)
    repository.start()
    add_version(tmp_path, 2, broken=True)
    repository.poll()
    assert served(repository) == 1
    broken, old = repository.list_statuses("m")
    assert (broken.version, broken.state) == (2, "END")
    assert (broken.error.code, broken.error.message) == ("DATA_LOSS", "2 is broken")
    assert (old.version, old.state, old.error) == (1, "AVAILABLE", None)
    add_version(tmp_path, 3)
    repository.poll()
    assert served(repository) == 3
    assert states(repository) == {3: "AVAILABLE", 2: "END", 1: "END"}


def test_a_version_that_fails_is_tried_again(tmp_path):
    add_version(tmp_path, 1)
    repository = make_repository(
        tmp_path, max_load_retries=2, load_retry_interval_seconds=0
    )
    repository.start()
    path = add_version(tmp_path, 2, broken=True)
    repository.poll()
    assert states(repository) == {2: "LOADING", 1: "AVAILABLE"}
    (path / "broken").unlink()
    repository.poll()
    assert states(repository) == {2: "AVAILABLE", 1: "END"}


def test_attempts_are_limited_and_spaced(tmp_path):
    add_version(tmp_path, 1)
    repository = make_repository(
        tmp_path, max_load_retries=1, load_retry_interval_seconds=0.2
    )
    repository.start()
    add_version(tmp_path, 2, broken=True)
    repository.poll()
    repository.poll()  # too early for another attempt
    assert states(repository)[2] == "LOADING"
    time.sleep(0.25)
    repository.poll()
    assert states(repository)[2] == "END"


def test_a_failed_version_is_loaded_anew_when_it_was_away(tmp_path):
    add_version(tmp_path, 1)
    repository = make_repository(tmp_path)
    repository.start()
    add_version(tmp_path, 2, broken=True)
    repository.poll()
    remove_version(tmp_path, 2)
    repository.poll()
    assert states(repository) == {2: "END", 1: "AVAILABLE"}
    add_version(tmp_path, 2)
    repository.poll()
    assert states(repository) == {2: "AVAILABLE", 1: "END"}


def test_a_rollback_loads_the_earlier_version_again(tmp_path):
    add_version(tmp_path, 1)
    repository = make_repository(tmp_path)
    repository.start()
    add_version(tmp_path, 2)
    repository.poll()
    remove_version(tmp_path, 2)
    repository.poll()
    assert states(repository) == {2: "END", 1: "AVAILABLE"}
    assert served(repository) == 1


def test_removing_all_versions_unloads_all(tmp_path):
    add_version(tmp_path, 1)
    repository = make_repository(tmp_path)
    repository.start()
    remove_version(tmp_path, 1)
    repository.poll()
    assert states(repository) == {1: "END"}
    with pytest.raises(ServingError, match=r"Latest\(m\)"):
        served(repository)


def test_a_base_path_that_vanishes_changes_nothing(tmp_path, caplog):
    base_path = tmp_path / "m"
    add_version(base_path, 1)
    repository = make_repository(base_path)
    repository.start()
    base_path.rename(tmp_path / "elsewhere")
    repository.poll()
    assert served(repository) == 1
    assert "Could not look for versions of model m" in caplog.text


def test_a_running_request_keeps_its_version_until_it_ends(tmp_path):
    add_version(tmp_path, 1)
    repository = make_repository(tmp_path)
    repository.start()
    add_version(tmp_path, 2)
    with repository.borrow("m") as (version, servable):
        assert version == 1
        repository.poll()
        assert states(repository) == {2: "AVAILABLE", 1: "UNLOADING"}
        assert served(repository) == 2
        add_version(tmp_path, 3)  # new versions come meanwhile
        repository.poll()
        assert states(repository) == {3: "AVAILABLE", 2: "END", 1: "UNLOADING"}
        assert not servable.is_closed
    repository.poll()
    assert states(repository)[1] == "END"
    assert servable.is_closed


def test_close_waits_for_running_requests_and_not_for_ever(tmp_path):
    add_version(tmp_path, 1)
    repository = make_repository(tmp_path)
    repository.start()
    with repository.borrow("m") as (_, servable):
        start = time.monotonic()
        repository.close(wait_seconds=0.2)
        assert 0.2 <= time.monotonic() - start < 2
        assert servable.is_closed
    assert states(repository) == {1: "END"}


def test_a_link_that_leads_to_itself_is_no_version(tmp_path):
    add_version(tmp_path, 1)
    repository = make_repository(tmp_path)
    repository.start()
    (tmp_path / "2").symlink_to(tmp_path / "2")
    add_version(tmp_path, 3)
    repository.poll()
    assert states(repository) == {3: "AVAILABLE", 1: "END"}


def test_a_version_of_many_digits_is_none(tmp_path):
    add_version(tmp_path, 1)
    add_version(tmp_path, "9" * 250)
    repository = make_repository(tmp_path)
    repository.start()
    assert states(repository) == {1: "AVAILABLE"}


def test_the_first_start_serves_an_earlier_version_where_the_newest_is_broken(
    tmp_path, caplog
):
    add_version(tmp_path, 1)
    add_version(tmp_path, 2)
    add_version(tmp_path, 3, broken=True)
    path = add_version(tmp_path, 4, broken=True)
    repository = make_repository(
        tmp_path, max_load_retries=1, load_retry_interval_seconds=0
    )
    repository.start()
    assert served(repository) == 2
    assert "Serving version 2 of model m, as later ones could not be" in caplog.text
    assert 1 not in states(repository)
    (path / "broken").unlink()  # it is whole now
    repository.poll()
    assert served(repository) == 4
    assert states(repository)[2] == "END"


def test_the_first_start_serves_no_version_that_the_policy_excludes(tmp_path):
    add_version(tmp_path, 1)
    add_version(tmp_path, 2, broken=True)
    repository = make_repository(tmp_path, specific([2]))
    with pytest.raises(ValueError, match="version 2 of m: DATA_LOSS"):
        repository.start()


def test_some_version_answers_at_every_moment(tmp_path):
    add_version(tmp_path, 1)
    repository = make_repository(tmp_path, poll_wait_seconds=0.001)
    repository.start()
    errors = []
    stop = threading.Event()

    def ask():
        while not stop.is_set():
            try:
                served(repository)
            except ServingError as error:
                errors.append(error)

    askers = [threading.Thread(target=ask) for _ in range(3)]
    for asker in askers:
        asker.start()
    for version in range(2, 60):
        add_version(tmp_path, version)
        while states(repository).get(version) != "AVAILABLE":
            time.sleep(0.001)
    stop.set()
    for asker in askers:
        asker.join()
    repository.close()
    assert errors == []


def test_close_unloads_everything(tmp_path):
    add_version(tmp_path, 1)
    repository = make_repository(tmp_path, poll_wait_seconds=0.01)
    repository.start()
    with repository.borrow("m") as (_, servable):
        pass
    repository.close()
    assert servable.is_closed
    assert states(repository) == {1: "END"}
    assert "model-repository" not in {thread.name for thread in threading.enumerate()}


def test_unknown_models_and_versions(tmp_path):
    add_version(tmp_path, 1)
    repository = make_repository(tmp_path)
    repository.start()
    with pytest.raises(ServingError, match="Could not find any versions of model x"):
        repository.list_statuses("x")
    with pytest.raises(ServingError, match="Could not find version 5 of model m"):
        repository.list_statuses("m", 5)
    with pytest.raises(ServingError, match="Unrecognized servable version label: a"):
        served(repository, label="a")


def test_labels(tmp_path):
    add_version(tmp_path, 1)
    add_version(tmp_path, 2)
    repository = make_repository(tmp_path, every(), {"stable": 1})
    repository.start()
    assert served(repository, label="stable") == 1


def test_a_label_of_an_unavailable_version(tmp_path):
    add_version(tmp_path, 1)
    repository = make_repository(tmp_path, labels={"next": 2})
    with pytest.raises(ValueError, match="'next' to version 2 of model m"):
        repository.start()
    repository = make_repository(tmp_path, labels={"next": 2})
    repository.start(allow_labels_for_unavailable_versions=True)
    with pytest.raises(ServingError, match=r"Specific\(m, 2\)"):
        served(repository, label="next")
    add_version(tmp_path, 2)
    repository.poll()
    assert served(repository, label="next") == 2


def make_config(base_path, name="m", policy=None, **labels):
    return ModelConfig(name, base_path, policy or latest(), labels)


def test_models_come_and_go(tmp_path):
    for name in ("one", "two"):
        add_version(tmp_path / name, 1)
    repository = make_repository(tmp_path / "one")
    repository.start()
    with repository.borrow("m") as (_, one):
        pass
    two = make_config(tmp_path / "two", "two")
    assert repository.reload([make_config(tmp_path / "one"), two]) == []
    assert repository.has_model("two")
    assert states(repository) == states(repository, "two") == {1: "AVAILABLE"}
    assert repository.count_states() == {
        (name, "1", "AVAILABLE"): 1 for name in ("m", "two")
    }
    assert repository.reload([two]) == []
    assert repository.count_states() == {("two", "1", "AVAILABLE"): 1}
    assert not repository.has_model("m")
    assert states(repository) == {1: "END"}
    assert one.is_closed
    with pytest.raises(ServingError, match=r"NOT_FOUND.*Latest\(m\)"):
        served(repository)
    assert repository.reload([make_config(tmp_path / "one")]) == []
    assert served(repository) == 1
    assert states(repository, "two") == {1: "END"}


def test_a_model_that_is_used_goes_when_it_is_free(tmp_path):
    add_version(tmp_path, 1)
    repository = make_repository(tmp_path)
    repository.start()
    with repository.borrow("m") as (_, servable):
        repository.reload([])
        assert states(repository) == {1: "UNLOADING"}
        assert not servable.is_closed
    repository.unload_unwanted()
    assert states(repository) == {1: "END"}
    assert servable.is_closed


def test_labels_move_after_loading_and_before_unloading(tmp_path):
    for version in (1, 2):
        add_version(tmp_path, version)
    seen = []

    class Watching(FakeServable):
        def __init__(self, path):
            super().__init__(path)
            if path.name == "2":
                seen.append(served(repository, label="stable"))

        def close(self):
            super().close()
            seen.append(served(repository, label="stable"))

    config = make_config(tmp_path, policy=specific([1]), stable=1)
    repository = ModelRepository([config], Watching, poll_wait_seconds=0)
    repository.start()
    moved = make_config(tmp_path, policy=specific([2]), stable=2)
    assert repository.reload([moved]) == []
    assert seen == [1, 2]
    assert states(repository) == {2: "AVAILABLE", 1: "END"}


@pytest.mark.parametrize("policy", [specific([3]), latest()])  # broken; not picked
def test_labels_that_cannot_be_moved_leave_a_model_as_it_is(tmp_path, policy, caplog):
    add_version(tmp_path, 1)
    add_version(tmp_path, 2)
    add_version(tmp_path, 3, broken=True)
    first = make_config(tmp_path, policy=specific([1]), stable=1)
    repository = ModelRepository(
        [first], FakeServable, poll_wait_seconds=0, max_load_retries=0
    )
    repository.start()
    [error] = repository.reload([make_config(tmp_path, policy=policy, stable=3)])
    assert "which is not currently available" in error
    assert served(repository, label="stable") == served(repository) == 1
    assert "label 'stable' to version 3" in caplog.text
    repository.poll()  # nor does anything change later
    assert served(repository) == 1
    moved = make_config(tmp_path, policy=specific([2]), stable=2)
    assert repository.reload([moved]) == []
    assert served(repository, label="stable") == 2


def test_a_label_in_use_is_not_moved_to_what_is_not_there(tmp_path):
    add_version(tmp_path, 1)
    repository = make_repository(tmp_path, labels={"stable": 1})
    repository.start(allow_labels_for_unavailable_versions=True)
    [error] = repository.reload([make_config(tmp_path, stable=7)])
    assert "which is not currently available" in error
    assert served(repository, label="stable") == 1
    assert repository.reload([make_config(tmp_path, stable=1, next=7)]) == []
    with pytest.raises(ServingError, match="NOT_FOUND"):
        served(repository, label="next")


def test_a_new_model_with_nothing_to_serve_is_looked_for_again(tmp_path):
    add_version(tmp_path / "one", 1)
    repository = make_repository(tmp_path / "one")
    repository.start()
    configs = [make_config(tmp_path / "one"), make_config(tmp_path / "two", "two")]
    assert repository.reload(configs) == []
    assert repository.list_unavailable() == ["no version of two found"]
    add_version(tmp_path / "two", 5)
    repository.poll()
    assert repository.list_unavailable() == []
    assert states(repository, "two") == {5: "AVAILABLE"}


def test_a_version_stays_where_its_number_is_found_elsewhere(tmp_path, caplog):
    for name in ("old", "new"):
        add_version(tmp_path / name, 1)
    repository = make_repository(tmp_path / "old")
    repository.start()
    assert repository.reload([make_config(tmp_path / "new")]) == []
    with repository.borrow("m") as (_, servable):
        assert servable.path == tmp_path / "old" / "1"
    assert "stays as it was loaded" in caplog.text
    add_version(tmp_path / "new", 2)
    repository.poll()
    with repository.borrow("m") as (_, servable):
        assert servable.path == tmp_path / "new" / "2"


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda path: None, "Could not find base path .*No such file or directory"),
        (lambda path: path.mkdir(), "No versions of model m .*named by a whole number"),
        (
            lambda path: (
                add_version(path, "variables") and (path / "saved_model.pb").touch()
            ),
            "It is a version itself; pass the folder above it, '.*'",
        ),
        (
            lambda path: add_version(path, 7),
            r"The version policy picks none of \[7\]",
        ),
        (
            lambda path: add_version(path, 1, broken=True),
            "did not become available:\nversion 1 of m: DATA_LOSS: 1 is broken",
        ),
    ],
)
def test_a_model_that_cannot_be_served_at_the_start(tmp_path, prepare, message):
    prepare(tmp_path / "m")
    repository = make_repository(tmp_path / "m", specific([1]))
    with pytest.raises(ValueError, match=message):
        repository.start()
