"""How much memory this process may have, and how it gives back what it does not use."""

import contextlib
import ctypes
import gc
import os
from collections.abc import Iterator
from pathlib import Path

_CONTROL_GROUPS = Path("/sys/fs/cgroup")

_OWN_GROUPS = Path("/proc/self/cgroup")


def get_memory_limit() -> int:
    """Bytes of memory of the machine, or of a container or unit that has fewer."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for file in _list_limits():
        with contextlib.suppress(OSError, ValueError):  # `max` is no number
            memory = min(memory, int(file.read_text(encoding="ascii")))
    return memory


def release_memory() -> None:
    """Give what was freed back to the system, after a model was loaded or unloaded.

    It stays with the allocator, in pieces, unless that is told to give it back.
    """
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # of another C library
        ctypes.CDLL(None).malloc_trim(0)


def _list_limits() -> Iterator[Path]:
    """Files that hold a limit: of the whole container, of the group, of those above.

    A container sees its own group as the root; a unit of systemd is in a group below.
    """
    yield _CONTROL_GROUPS / "memory" / "memory.limit_in_bytes"
    yield _CONTROL_GROUPS / "memory.max"
    with contextlib.suppress(OSError):
        for line in _OWN_GROUPS.read_text(encoding="utf-8").splitlines():
            number, _, group = line.split(":", 2)
            if number == "0":
                path = _CONTROL_GROUPS / group.strip("/")
                for folder in (path, *path.parents):
                    if folder.is_relative_to(_CONTROL_GROUPS):
                        yield folder / "memory.max"
