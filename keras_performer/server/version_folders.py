"""The version folders of a model on disk."""

import os
import re
from pathlib import Path

from keras_performer.server.model_config import ModelConfig

_VERSION_NAME = re.compile(r"[0-9]+", re.ASCII)

_LARGEST_VERSION = 2**63 - 1


def find_versions(base_path: str | os.PathLike[str]) -> dict[int, Path]:
    """Find the versions of a model.

    Args:
        base_path: folder of the model.

    Returns:
        `dict` from version number to folder. Leading zeros do not count; folders whose
        name is not a whole number are something else and are left out.

    Raises:
        OSError: the folder cannot be listed.
    """
    with os.scandir(base_path) as entries:
        names = sorted(entry.name for entry in entries if _is_folder(entry))
    versions = {}
    for name in names:
        if _VERSION_NAME.fullmatch(name) and int(name) <= _LARGEST_VERSION:
            versions[int(name)] = Path(base_path) / name
    return versions


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads back to itself
        return False


def check_versions(config: ModelConfig) -> None:
    """Refuse a model that has no version to serve, before anything is loaded.

    Args:
        config: a `ModelConfig`.

    Raises:
        ValueError: the folder is missing, or holds no version that the policy picks.
    """
    base_path = Path(config.base_path)
    try:
        found = find_versions(base_path)
    except OSError as error:
        raise ValueError(
            f"Could not find base path {base_path} for model {config.name}: "
            f"{error.strerror}. Pass the folder that holds the model's numbered "
            f"version folders, such as {base_path / '1' / 'saved_model.pb'}."
        ) from error
    if config.policy(set(found)):
        return
    if (base_path / "saved_model.pb").exists():
        remedy = (
            "It is a version itself; pass the folder above it, "
            f"{str(base_path.parent)!r}."
        )
    elif found:
        remedy = f"The version policy picks none of {sorted(found)}."
    else:
        remedy = (
            "Expected folders named by a whole number, "
            f"such as {base_path / '1' / 'saved_model.pb'}."
        )
    raise ValueError(
        f"No versions of model {config.name} found under base path {base_path}. "
        + remedy
    )
