"""Off a terminal a training prints lines, few of them; on one, Keras's bar."""

import re
import sys

import keras
import numpy as np
import pytest

from keras_performer.training import train_steps
from keras_performer.training.progress import ProgressLogger

NUM_STEPS = 40
X = np.ones((NUM_STEPS, 1), "float32")
CONTROL_CHARACTER = re.compile(r"[\r\x08\x1b]")


@pytest.fixture(autouse=True)
def _no_notebook(monkeypatch):
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    monkeypatch.delenv("PYCHARM_HOSTED", raising=False)


@pytest.fixture
def model():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", jit_compile=False)
    return model


def lines_of(text):
    assert not CONTROL_CHARACTER.search(text)
    return text.splitlines()


def test_an_epoch_prints_one_line(model, capsys):
    data = (X[:1], X[:1])
    model.fit(X, X, 1, epochs=3, validation_data=data, callbacks=[ProgressLogger()])
    lines = lines_of(capsys.readouterr().out)
    assert len(lines) == 3
    assert re.fullmatch(
        r"Epoch 2/3, step 40/40: loss \S+, val_loss \S+, 0:00:\d\d", lines[1]
    )


def test_a_long_epoch_prints_each_tenth_and_the_time_left(model, capsys):
    model.fit(X, X, 1, epochs=2, callbacks=[ProgressLogger(seconds=0)])
    lines = lines_of(capsys.readouterr().out)
    assert len(lines) == 20
    steps = [int(re.search(r"step (\d+)/40", line)[1]) for line in lines]
    assert steps == 2 * [*range(4, NUM_STEPS + 1, 4)]
    assert re.fullmatch(r"Epoch 1/2, step 4/40: loss \S+, ETA \d:\d\d:\d\d", lines[0])


def test_the_time_left_is_of_all_epochs_and_not_of_the_first_step(monkeypatch, capsys):
    # Each look at the clock takes a second, and the first step a thousand.
    seconds = iter([0, 1, *range(1000, 2000)])
    monkeypatch.setattr(
        "keras_performer.training.progress.time.monotonic", lambda: next(seconds)
    )
    logger = ProgressLogger(seconds=0)  # at 0
    logger.set_params({"verbose": 1, "epochs": 3, "steps": 10})
    logger.on_train_begin()
    logger.on_epoch_begin(0)  # at 1
    logger.on_train_batch_end(0, {"loss": 0.5})  # at 1000
    logger.on_train_batch_end(1, {"loss": 0.5})
    logger.on_train_batch_end(3, {"loss": 0.5})
    assert lines_of(capsys.readouterr().out) == [
        "Epoch 1/3, step 1/10: loss 0.5, ETA unknown",
        "Epoch 1/3, step 2/10: loss 0.5, ETA 0:00:28",
        "Epoch 1/3, step 4/10: loss 0.5, ETA 0:00:17",
    ]


def test_a_bar_does_not_promise_hours_for_the_compilation(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr("keras.src.utils.progbar.time.time", lambda: now[0])
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    logger = ProgressLogger()
    logger.set_params({"verbose": 1, "epochs": 1, "steps": 100})
    logger.on_train_begin()
    logger.on_epoch_begin(0)
    for batch, seconds in enumerate([60.0, 0.5, 0.5]):
        now[0] += seconds
        logger.on_train_batch_end(batch, {"loss": 0.5})
    shown = capsys.readouterr().out
    assert " 1/100" not in shown
    assert re.search(r"2/100.*\x1b\[1m49s\x1b.*500ms/step - loss: 0.5000", shown)


def test_an_unknown_number_of_steps_is_learnt_in_the_first_epoch(model, capsys):
    logger = ProgressLogger(seconds=0)
    logger.set_params({"verbose": 1, "epochs": 2, "steps": None})
    logger.on_train_begin()
    for epoch in range(2):
        logger.on_epoch_begin(epoch)
        for batch in range(5):
            logger.on_train_batch_end(batch, {})
        logger.on_epoch_end(epoch, {})
    lines = lines_of(capsys.readouterr().out)
    assert lines[0] == "Epoch 1/2, step 1/?: ETA unknown"
    assert lines[-2].startswith("Epoch 2/2, step 4/5: ETA 0:00:00")


def test_a_terminal_has_the_bar(model, monkeypatch, capsys):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    model.fit(X, X, 1, callbacks=[ProgressLogger()])
    assert CONTROL_CHARACTER.search(capsys.readouterr().out)


@pytest.mark.parametrize(("verbose", "num_lines"), [(0, 0), (2, 4)])
def test_other_verbosities_are_those_of_keras(model, verbose, num_lines, capsys):
    model.fit(X, X, 1, epochs=2, verbose=verbose, callbacks=[ProgressLogger()])
    assert len(lines_of(capsys.readouterr().out)) == num_lines


def test_train_steps_prints_a_line_for_each_checkpoint(model, tmp_path, capsys):
    def batches_from(step):
        while True:
            yield X[:1], X[:1]

    train_steps(model, batches_from, NUM_STEPS, tmp_path, checkpoint_every=20)
    assert len(lines_of(capsys.readouterr().out)) == 2
