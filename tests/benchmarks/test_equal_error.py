"""The benchmark at equal errors: what it chooses, and that it goes on."""

import json

import numpy as np
import pytest

from benchmarks.attention import equal_error
from benchmarks.attention.peers.inputs import make_arrays
from benchmarks.attention.peers.peer import HEAD_DIM, HEADS, positive_features
from benchmarks.attention.peers.reference import distance, exact_and_uniform

OURS, THEIRS = "ours_aderf_simplex", "performer_pytorch"


class FakeSweep:
    """Errors fall with M, ours to 1/M and theirs to 10/M, beside 1 of uniform ones."""

    asked = ()
    ends = False

    def __init__(self, form, entries, **keywords):
        self.entries, self.versions, self.absent = entries, {}, {}
        self.workers = {entry.name: self for entry in entries}

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass

    def open(self):
        pass

    def present(self):
        return self.entries

    def configure(self, name, features, seed=1):
        self.asked.append((name, features))
        self.error = (1 if name == OURS else 10) / features

    def ask(self, command, length, rows):
        return [self.error, 1.0]

    def times(self, pass_name, length):
        if self.ends:
            raise KeyboardInterrupt
        times = {OURS: 1.0, THEIRS: 6.0}
        return {
            entry.name: {key: [times[entry.name]] * 3 for key in KEYS}
            for entry in self.entries
        }


KEYS = ("seconds", "cpu_seconds")


def test_each_is_timed_with_the_least_m_that_reaches(tmp_path, monkeypatch, capsys):
    output = tmp_path / "equal.json"
    command = f"--names {OURS} {THEIRS} --features 4 8 16 --target 0.2 --draws 2 "
    command += f"--data skewed --forms causal --threads 1 --output {output}"
    monkeypatch.setattr(equal_error, "Sweep", FakeSweep)
    monkeypatch.setattr(FakeSweep, "asked", [])
    monkeypatch.setattr(FakeSweep, "ends", True)
    with pytest.raises(KeyboardInterrupt):
        equal_error.main(command.split())
    assert FakeSweep.asked[-2:] == [(OURS, 8), (THEIRS, 16)]
    assert "M = 8: error 0.125 ± 0.000" in capsys.readouterr().out
    monkeypatch.setattr(FakeSweep, "asked", [])
    monkeypatch.setattr(FakeSweep, "ends", False)
    equal_error.main(command.split())
    assert FakeSweep.asked == [(OURS, 8), (THEIRS, 16)]  # errors were kept
    printed = capsys.readouterr().out
    assert "| 8 | 0.125 ± 0.000 | 1,000 ms |" in printed
    assert "| more than 16 | 0.625 ± 0.000 | 6,000 ms (6.00×, 6.00–6.00) |" in printed
    [setting] = json.loads(output.read_text())["settings"].values()
    assert list(setting["times"]) == list(equal_error.PASSES)


def test_nothing_is_timed_where_none_of_ours_reaches():
    setting = {"uniform": 1.0, "errors": {OURS: {"4": [0.9]}, THEIRS: {"4": [0.1]}}}
    assert equal_error.choose(setting, 0.5) == {}
    assert equal_error.choose(setting, 0.95) == {OURS: 4, THEIRS: 4}


@pytest.mark.parametrize("form", ["bidirectional", "causal"])
def test_errors_are_those_of_softmax_attention(form):
    arrays = make_arrays("skewed", 7, "forward")
    rows = [0, 6]
    exact, uniform = exact_and_uniform(form, arrays, rows)
    assert exact.shape == (2, HEADS, HEAD_DIM)
    query, key, value = (np.float64(x[0]) for x in arrays)
    weights = np.exp(query[6, 3] @ key[:, 3].T / 8)
    np.testing.assert_allclose(exact[1, 3], weights @ value[:, 3] / weights.sum())
    np.testing.assert_allclose(uniform[1], value.mean(0))
    first = value[0] if form == "causal" else value.mean(0)
    np.testing.assert_allclose(uniform[0], first)
    assert distance(exact, exact) == 0
    assert distance(1.5 * exact, exact) == pytest.approx(0.5)


def test_samples_are_of_one_distribution():
    first, second = (
        make_arrays("skewed", 3000, "forward", sample)[0] for sample in (0, 1)
    )
    assert not np.array_equal(first, second)
    np.testing.assert_allclose(first.std(1), second.std(1), rtol=0.15)
    np.testing.assert_allclose(first.mean(1), second.mean(1), atol=0.15)


def test_features_of_the_check_estimate_the_kernel():
    generator = np.random.default_rng(0)
    x, y = 0.5 * generator.standard_normal((2, 1, 4))
    projection = generator.standard_normal((200_000, 4))
    curvature = np.array([-0.1, -0.05, 0.0, -0.2])
    queries, keys = (positive_features(z, projection, curvature) for z in (x, y))
    factor = np.prod(np.sqrt(1 - 4 * curvature))  # which cancels in attention
    expected = np.exp(np.sum(x * y) / np.sqrt(4))
    np.testing.assert_allclose(factor * np.sum(queries * keys), expected, rtol=0.02)
