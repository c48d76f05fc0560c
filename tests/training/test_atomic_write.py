"""Files that are written as a whole or not at all."""

import errno
import os

import pytest

from keras_performer.training.checkpoints.atomic_write import (
    atomic_write,
    atomic_write_text,
)


def test_the_error_is_that_of_the_system(tmp_path):
    path = tmp_path / "text"
    atomic_write_text(path, "before")
    with (
        pytest.raises(OSError, match=f"{path} could not") as caught,
        atomic_write(path),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert caught.value.errno == errno.ENOSPC
    assert path.read_text() == "before"
    # What is no matter of the disk passes, and leaves the file alone as well.
    with pytest.raises(ZeroDivisionError), atomic_write(path) as temporary:
        temporary.write_text("half")
        1 / 0  # noqa: B018
    assert path.read_text() == "before"
