"""A disk that is full: no file of this process may grow beyond some bytes."""

import contextlib
import resource


@contextlib.contextmanager
def full_disk(largest):
    """Lets writes beyond `largest` bytes of a file fail, as the kernel does it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
