"""The guide `docs/models.md`: its code runs as it stands."""

import pathlib
import re

import keras
import numpy as np
import pytest
from tolerances import assert_close

GUIDE = pathlib.Path(__file__).parents[2] / "docs" / "models.md"


def test_the_guide_runs():
    pytest.importorskip("tensorflow")  # which reads text
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    names = {}
    exec("\n".join(blocks), names)
    assert names["scaled"].hidden_dim == 192 and names["named"].num_layers == 2
    hidden_states = keras.ops.convert_to_numpy(names["hidden_states"])
    alone = names["packed"](
        {"token_ids": np.array([[8, 9]]), "segment_ids": np.array([[1, 1]])}
    )
    assert_close(hidden_states[:, 3:5], keras.ops.convert_to_numpy(alone))
    assert names["model"](np.ones((1, 9), "int32")).shape == (1, 9, 64)
