"""The numbered folders of a model, each put in place whole."""

import os
import pathlib
import re
import shutil
import tempfile
from collections.abc import Callable


def versions(base: str | os.PathLike[str]) -> list[int]:
    """Returns the versions of a model folder, in order.

    Args:
        base: Folder of one model.

    Example:

    >>> versions("no/such/folder")
    []
    """
    base = pathlib.Path(base)
    if not base.is_dir():
        return []
    names = (path.name for path in base.iterdir())
    return sorted(int(name) for name in names if re.fullmatch("[0-9]+", name))


def check_name(name: str) -> None:
    """Raises a `ValueError` where a name is no plain name of a folder."""
    plain = name == pathlib.PurePath(name).name and not name.startswith(".")
    # TensorFlow looks for the variables by a pattern, in which these are no letters.
    if not name or not plain or re.search(r"\\|\[.*\]|\0", name, re.DOTALL):
        raise ValueError(
            "`name` must be a plain folder name, such as 'documents', without "
            f"backslashes and brackets. Received: name={name!r}"
        )


def write_version(
    directory: str | os.PathLike[str], name: str, write: Callable[[pathlib.Path], None]
) -> pathlib.Path:
    """Writes `directory/name/<version>/` under the next free version.

    It is first written under a temporary name, and then renamed: a server that watches
    the folder never sees a part of it.

    Args:
        directory: Folder of all models.
        name: Name of the model.
        write: Function that writes the version into an empty folder, its argument.

    Returns:
        `pathlib.Path` of the new version.
    """
    base = pathlib.Path(directory) / name
    base.mkdir(parents=True, exist_ok=True)
    temporary = pathlib.Path(tempfile.mkdtemp(prefix=".incomplete-", dir=base))
    try:
        write(temporary)
        temporary.chmod(0o755)  # `mkdtemp` shuts out other users, so servers too
        return _rename_to_next_version(temporary, base)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _rename_to_next_version(
    temporary: pathlib.Path, base: pathlib.Path
) -> pathlib.Path:
    while True:
        version = base / str(max(versions(base), default=0) + 1)
        try:
            temporary.rename(version)
        except OSError:
            # Another export took this version in the meantime; else it is an error.
            if not version.exists():
                raise
        else:
            return version
