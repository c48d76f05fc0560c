"""How much a request asks of a model, before it is run."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

GROUPS_FILE = "assets.extra/text_groups.json"

LONG = 65_536  # from this cost on a request is a long one

STATE = "state_bytes"  # what a causal model has read: of constant size, and no text


def get_cost(arrays: Mapping[str, np.ndarray], max_group_bytes: int | None) -> int:
    """Bytes of text and numbers that a model will hold at a time.

    Args:
        arrays: `dict` from input name to array. One named `state_bytes` is not counted.
        max_group_bytes: bytes of a group of texts, where the model takes the rows of a
            request in groups of like length; `None` where all are as long as the
            longest.

    >>> get_cost({"text": np.array([b"abc", b""], object), "x": np.zeros(5)}, None)
    11
    """
    return sum(
        _get_size(array, max_group_bytes)
        for name, array in arrays.items()
        if name != STATE
    )


def read_max_group_bytes(path: str | os.PathLike[str]) -> int | None:
    """What the exporter wrote about how a model takes the rows of a request.

    Args:
        path: folder of a version.

    Returns:
        The bytes of a group, or `None` where nothing is said.
    """
    try:
        extra = json.loads((Path(path) / GROUPS_FILE).read_bytes())
        return int(extra["max_group_bytes"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _get_size(array: np.ndarray, max_group_bytes: int | None) -> int:
    if array.dtype != object:
        return array.size
    longest = max(map(len, array.reshape(-1)), default=0)
    padded = array.size * longest
    if max_group_bytes is None:
        return padded
    return max(longest, min(padded, max_group_bytes))
