"""The benchmark of order: what is written twice, and the errors of its shares."""

import numpy as np
import pytest

from benchmarks.learning import order
from keras_performer.text import TokenArrays


@pytest.fixture
def source(tmp_path):
    """Text of four classes, each with a word of its own."""
    for name in ("one", "two", "sea", "land"):
        (tmp_path / "source" / name).mkdir(parents=True)
        for index in range(2):
            path = tmp_path / "source" / name / f"{index}.txt"
            path.write_text(f"{name} of its own\n" * 100)
    return tmp_path / "source"


def test_both_orders_have_the_same_lines(source, tmp_path):
    order.write_pairs(source, tmp_path / "corpus", ("one", "two"), number=3)
    first, second = (
        sorted((tmp_path / "corpus" / f"{name}_first").iterdir())
        for name in ("one", "two")
    )
    assert len(first) == len(second) == 3
    for path, other in zip(first, second, strict=True):
        lines, swapped = (p.read_text().splitlines() for p in (path, other))
        assert sorted(lines) == sorted(swapped)
        assert abs(path.stat().st_size - order.NUM_BYTES) < 100


def test_the_passages_stand_far_apart_in_the_order_of_the_class(source, tmp_path):
    order.write_pairs(source, tmp_path, ("one", "two"), number=2)
    for names in (("one", "two"), ("two", "one")):
        for path in (tmp_path / f"{names[0]}_first").iterdir():
            text = path.read_text()
            gap = text.index(names[1]) - text.rindex(names[0])
            assert gap >= order.GAP_BYTES
            for name in names:
                passage = text[text.index(name) : text.rindex(name)]
                assert "sea" not in passage and "land" not in passage
                assert len(passage) >= order.PASSAGE_BYTES - len(f"{name} of its own\n")


def test_lines_are_whole():
    generator = np.random.default_rng(0)
    texts = [b"first line\nsecond line\nlast line without an end", b"alone"]
    drawn = order.draw_lines(texts, 60, generator)
    assert len(drawn) >= 60
    assert set(drawn.splitlines()) == {b"second line", b"last line without an end"}


def test_a_batch_has_both_orders_of_a_document():
    ids = np.array([1, 2, 3, 4, 5, 6, 3, 1, 2, 6, 4, 5])
    arrays = TokenArrays(ids, lengths=[3, 3, 3, 3])
    batches = order.PairBatches(arrays, longest=2, seed=0)
    seen = []
    for step in range(2):
        windows, labels = batches.batch(step)
        assert labels.tolist() == [0, 0, 1, 1]
        first, second = (windows[labels == label].ravel() for label in (0, 1))
        assert sorted(first) == sorted(second)
        seen += [first.tolist(), second.tolist()]
    assert sorted(seen) == [[1, 2, 3, 0], [3, 1, 2, 0], [4, 5, 6, 0], [6, 4, 5, 0]]


def test_what_answers_both_orders_alike_is_right_half_of_the_time(capsys):
    order.print_row("alike", [{"margins": [1, -1, 1, -1], "seconds": 2}])
    order.print_row("right", [{"margins": [-1, 1, 2, 3], "seconds": 2}])
    alike, right = capsys.readouterr().out.splitlines()
    half = ["50.0", "%", "±", "0.0", "(50.0)"]
    assert alike.split() == ["alike", *half, *half, "2", "s"]
    assert "75.0 % ± 25.0 (75.0) 100.0 % ± 0.0 (100.0)  2 s" in right
