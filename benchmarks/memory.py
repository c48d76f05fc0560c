"""Memory of a process, as Linux tells it."""

import ctypes
import gc
import pathlib


def resident(process="self"):
    """Returns the bytes that a process holds now: 0 where it has just ended."""
    try:
        text = pathlib.Path(f"/proc/{process}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return field(text, "VmRSS") if "VmRSS:" in text else 0


def resident_of_all(process):
    """Returns the bytes that a process and those that it started hold now."""
    path = pathlib.Path(f"/proc/{process}/task/{process}/children")
    children = path.read_text().split() if path.exists() else []
    return resident(process) + sum(resident(child) for child in children)


def peak():
    """Returns the most bytes that this process has held since `reset_peak`."""
    return status("self", "VmHWM")


def reset_peak():
    """Gives back what is free already and lets the peak begin at what is left."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    pathlib.Path("/proc/self/clear_refs").write_text("5")


def extra(function, arguments):
    """Returns the most bytes that one call holds beside what is held before it."""
    reset_peak()
    before = resident()
    function(*arguments)
    return peak() - before


def available():
    """Returns the bytes that could be taken without swapping."""
    return field(pathlib.Path("/proc/meminfo").read_text(), "MemAvailable")


def status(process, name):
    return field(pathlib.Path(f"/proc/{process}/status").read_text(), name)


def field(text, name):
    (line,) = (x for x in text.splitlines() if x.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024
