"""The guide `docs/training.md`: its code runs as it stands."""

import re
from pathlib import Path

import keras
import pytest

GUIDE = Path(__file__).parents[2] / "docs" / "training.md"


@pytest.fixture
def restored_policy():
    before = keras.config.dtype_policy()
    yield
    keras.config.set_dtype_policy(before)


@pytest.mark.slow
def test_the_guide_runs(tmp_path, monkeypatch, capsys, restored_policy):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(
        r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL
    )
    assert len(blocks) == 3
    names = {}
    for block in blocks:
        exec(compile(block, GUIDE.name, "exec"), names)
    assert keras.config.dtype_policy().name == "mixed_bfloat16"
    assert [row["step"] for row in names["history"]] == [8, 16, 20]
    assert int(names["model"].optimizer.iterations) == 10
    said = dict(re.findall(r"(unigram|xz): ([0-9.]+)", capsys.readouterr().out))
    assert float(said["xz"]) < float(said["unigram"]) < 5
    assert names["measured"].bits_per_token < 7  # of 8 before
    assert names["measured"].num_tokens == 999
    files = {path.name for path in (tmp_path / "run").iterdir()}
    assert files == {"checkpoints", "best.json", "best.weights.h5", "history.csv"} | {
        "tensorboard"
    }
