"""The memory that the process may have."""

import os
import sys

import pytest

from keras_performer.server import memory
from keras_performer.server.metrics import read_memory


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """A folder of control groups; the process is in `system.slice/server.service`."""
    folder = tmp_path / "cgroup"
    (folder / "system.slice" / "server.service").mkdir(parents=True)
    own = tmp_path / "own"
    own.write_text("0::/system.slice/server.service\n")
    monkeypatch.setattr(memory, "_CONTROL_GROUPS", folder)
    monkeypatch.setattr(memory, "_OWN_GROUPS", own)
    return folder


def test_without_limits_it_is_that_of_the_machine(groups):
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert memory.get_memory_limit() == whole
    (groups / "memory.max").write_text("max\n")
    (groups / "system.slice" / "memory.max").write_text(f"{2**62}\n")
    assert memory.get_memory_limit() == whole


@pytest.mark.parametrize(
    "file",
    [
        "memory.max",
        "memory/memory.limit_in_bytes",
        "system.slice/memory.max",
        "system.slice/server.service/memory.max",
    ],
)
def test_the_lowest_limit_counts(groups, file):
    path = groups / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"{2**20}\n")
    assert memory.get_memory_limit() == 2**20


def test_a_system_without_control_groups(groups):
    memory._OWN_GROUPS.unlink()
    assert memory.get_memory_limit() > 2**20


@pytest.mark.skipif(sys.platform != "linux", reason="by the C library of Linux")
def test_what_was_freed_goes_back_to_the_system():
    pieces = [b"x" * (100_000 + index) for index in range(2000)]
    last = b"x" * 100_000
    held = read_memory()
    del pieces
    memory.release_memory()
    assert held - read_memory() > 100_000_000
    assert last


def test_another_c_library_gives_nothing_back(monkeypatch):
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: object())
    memory.release_memory()
