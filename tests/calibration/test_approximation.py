"""The table, the numbers of features and the picture of an approximation."""

import sys

import pytest

from keras_performer.calibration import Approximation, Head

ERRORS = {
    "softmax": {16: 0.8, 64: 0.4},
    "sderf": {16: 0.3, 64: 0.15},
    "relu": {None: 0.9},
}
HEAD = Head("model/attention", 1, 0.5, 0.75, ERRORS)


def test_needed_features():
    assert HEAD.needed(0.4) == {"softmax": 64, "sderf": 16, "relu": None}
    assert HEAD.needed(0.2) == {"softmax": 256, "sderf": 64, "relu": None}


@pytest.mark.parametrize("target", [0, -1.0, float("nan")])
def test_a_wish_must_be_positive(target):
    with pytest.raises(ValueError, match="`target` must be positive"):
        HEAD.needed(target)


def test_table():
    lines = Approximation([HEAD, HEAD]).table(target=0.2).splitlines()
    assert len(lines) == 4
    assert (
        lines[0]
        == "| layer | head | error | uniform | M: softmax | M: sderf | M: relu |"
    )
    assert (
        lines[2] == "| model/attention | 1 | 0.500 | 0.750 | ≥ 256 | 64 | – (0.900) |"
    )


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_plot(tmp_path, ending):
    pytest.importorskip("matplotlib")
    path = tmp_path / f"errors.{ending}"
    Approximation([HEAD, HEAD._replace(head=2)]).plot(path)
    assert path.stat().st_size > 1000
    start = path.read_bytes()[:200]
    assert start.startswith(b"\x89PNG") or b"<svg" in path.read_bytes()


def test_plotting_without_matplotlib_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install .*\[figures\]"):
        Approximation([HEAD]).plot(tmp_path / "errors.png")
