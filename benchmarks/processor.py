"""The kind of processor that a benchmark runs on, as Linux tells it."""

import pathlib
import platform

KIND = {"family": "cpu family", "model": "model"}


def name():
    """Returns the name of the processor."""
    return fields().get("model name", platform.machine())


def describe():
    """Returns name, family and model, and whether it has AVX-512.

    The name alone may be that of several generations: `"Intel(R) Xeon(R) Processor"`.
    """
    known = fields()
    kind = ", ".join(
        f"{x} {known[field]}" for x, field in KIND.items() if field in known
    )
    has_avx512 = "avx512f" in known.get("flags", "").split()
    text = f"{name()} ({kind})" if kind else name()
    return f"{text}, {'AVX-512' if has_avx512 else 'no AVX-512'}"


def fields():
    """Returns what `/proc/cpuinfo` says of the first processor."""
    first = pathlib.Path("/proc/cpuinfo").read_text().partition("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {field.strip(): value.strip() for field, _, value in pairs}
