"""The history as CSV: each step once, and a column for what comes seldom."""

import pytest
from small_language_model import SETTINGS, batches_from, small_model

from keras_performer.training import train_steps
from keras_performer.training.history_file import HistoryFile


def test_steps_that_are_done_again_have_one_row(tmp_path):
    history = HistoryFile(tmp_path / "history.csv")
    for step in (10, 20, 30):
        history.append(step, {"loss": step / 10})
    history.truncate(20)
    assert [row["step"] for row in history.rows()] == [10, 20]
    history.append(20, {"loss": 5.0, "val_loss": 6.0})
    expected = [
        {"step": 10, "loss": 1.0},
        {"step": 20, "loss": 5.0, "val_loss": 6.0},
    ]
    assert history.rows() == HistoryFile(history.path).rows() == expected
    text = history.path.read_text()
    assert text == "step,loss,val_loss\n10,1.0,\n20,5.0,6.0\n"


def test_damaged_histories_are_named(tmp_path):
    for content in ("epoch,loss\n1,2\n", "step,loss\nx,2\n", "step,loss\n1,2,3\n"):
        (tmp_path / "history.csv").write_text(content)
        with pytest.raises(ValueError, match=r"history.csv is damaged, or not"):
            train_steps(small_model(), batches_from, folder=tmp_path, **SETTINGS)
