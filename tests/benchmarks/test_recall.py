"""The benchmark of recall: what its tasks ask for, and its answers."""

import numpy as np
import pytest

from benchmarks.learning import recall

SYMBOLS = 128


@pytest.mark.parametrize("task", recall.TASKS)
def test_answers_follow_from_what_stands_before(task):
    recall.check(task, 64, 8, SYMBOLS)


def test_a_wrong_answer_is_found(monkeypatch):
    def wrong(length, pairs, symbols, generator):
        ids, is_answer = recall._recall(length, pairs, symbols, generator)
        ids[1:][is_answer] = recall.FILLER
        return ids, is_answer

    monkeypatch.setitem(recall._MAKERS, "recall", wrong)
    with pytest.raises(RuntimeError, match=f"is {recall.FILLER}, and should be"):
        recall.check("recall", 64, 8, SYMBOLS)


def test_each_key_is_asked_for_once():
    ids, is_answer = recall.draw("recall", 64, 8, SYMBOLS, 3, np.random.default_rng(0))
    assert is_answer.sum(axis=1).tolist() == [8, 8, 8]
    for row, places in zip(ids, is_answer, strict=True):
        assert sorted(row[:16:2]) == sorted(row[:-1][places])


def test_a_training_begins_without_fillers():
    length, pairs = recall.shortest([(256, 8), (256, 32), (1024, 8), (1024, 32)])
    ids, _ = recall.draw("recall", length, pairs, SYMBOLS, 2, np.random.default_rng(0))
    assert (length, pairs) == (128, 32)
    assert not (ids[:, :-1] == recall.FILLER).any()
    assert recall.shortest([(256, None), (64, None)]) == (64, None)
