"""`train_steps`: trains a model for a number of steps, resumable at each checkpoint."""

import collections.abc
import os
import pathlib
import re
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_performer.callbacks import RedrawProjections
from keras_performer.layers.validation import check_optional_size, check_size
from keras_performer.training.checkpoints.best_weights import BestWeights, is_better
from keras_performer.training.checkpoints.checkpoint import Checkpoint
from keras_performer.training.history_file import HistoryFile
from keras_performer.training.out_of_memory import (
    MAYBE_OUT_OF_MEMORY,
    OutOfMemory,
    is_out_of_memory,
)
from keras_performer.training.progress import ProgressLogger

_SCORES = re.compile(r"acc(uracy)?$|auc$|precision|recall|f1")


def train_steps(
    model: Any,
    batches_from: Callable[[int], Any],
    num_steps: int,
    folder: str | os.PathLike[str],
    *,
    checkpoint_every: int = 1000,
    steps_per_epoch: int | None = None,
    redraw_interval: int | None = None,
    validation_data: Any = None,
    validate_every: int | None = None,
    monitor: str = "val_loss",
    monitor_mode: str = "auto",
    patience: int | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    tensorboard: bool = False,
    verbose: int | str = "auto",
    backup_every: int | None = None,
) -> list[dict[str, Any]]:
    """Trains a compiled model for a number of steps, where a kill loses no step twice.

    A step is a batch. Called again after a kill at any moment, with a model that is
    made in the same way, it goes on after the last checkpoint with the very next batch:
    weights, optimizer, projections and dropout become those of an uninterrupted
    training, bit for bit where the machine computes deterministically. Called on a
    complete training it loads its state and returns at once; called with more steps it
    goes on. In the folder are

    | file | what |
    |---|---|
    | `history.csv` | losses and metrics, a row for each epoch |
    | `checkpoints/` | the states after the last two checkpoints |
    | `best.weights.h5`, `best.json` | the weights of the best `monitor`, its step |
    | `tensorboard/` | event files, where asked for |

    Args:
        model: A built `keras.Model`, compiled, such as with `performer_optimizer`.
        batches_from: Function from a step to what `fit` takes as batches (`tf.data`,
            Grain, `keras.utils.PyDataset`, a generator), the first being that of the
            step. It must be a function of the step alone, and not end before
            `num_steps`.
        num_steps: Number of steps of the whole training.
        folder: Folder to write to.
        checkpoint_every: Steps between two checkpoints. There is one after each epoch.
        steps_per_epoch: Steps of an epoch. By default an epoch is what lies between
            two checkpoints.
        redraw_interval: Updates of the optimizer between two draws of the projections,
            or `None` for `callbacks` to say.
        validation_data: What `fit` takes as such, and can be read many times.
        validate_every: Steps between two validations, which are made after epochs.
            Defaults to each epoch; the last step is always followed by one.
        monitor: Name of the loss or metric that says which weights are the best; where
            an epoch does not measure it, none are written.
        monitor_mode: `"min"` where the lowest value of `monitor` is the best, `"max"`
            where the highest is, and of equal ones that of the lowest loss. `"auto"` is
            `"max"` for accuracies, areas under a curve, precision, recall and F1 by
            their names, and `"min"` for all others.
        patience: Number of measurements of `monitor` without a better one after which
            the training ends before `num_steps`; `None` for never. They are counted in
            the history, so a training that was killed ends as one that was not, and one
            that ended goes on when it is called with a larger number.
        callbacks: Further `keras.callbacks.Callback`s. What they keep outside of the
            model and the optimizer begins anew in each call.
        tensorboard: Whether to write event files for TensorBoard.
        verbose: `verbose` of `keras.Model.fit`; off a terminal, lines instead of a bar.
        backup_every: Deprecated name of `checkpoint_every`.

    Returns:
        The history, a list of dictionaries with `"step"`, `"loss"` and so on, and with
        `"epoch"`, from 0, where `steps_per_epoch` was passed. The model has the state
        after the last step.

    Raises:
        ValueError: If an argument is out of its range, the batches end too early, or
            what is in the folder is damaged or of another model.
        OutOfMemory: If a step does not fit into memory.
        OSError: If the disk is full; what was written before is whole.

    Example:

    >>> import numpy as np
    >>> def batches_from(step):
    ...     while True:
    ...         x = np.random.default_rng(step).normal(size=(8, 4))
    ...         yield x, x.sum(-1, keepdims=True)
    ...         step += 1
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse", jit_compile=False)
    >>> history = train_steps(
    ...     model, batches_from, 50, "run", checkpoint_every=20, verbose=0
    ... )
    >>> [row["step"] for row in history]
    [20, 40, 50]
    """
    if backup_every is not None:
        warnings.warn(
            "`backup_every` of `train_steps` is now called `checkpoint_every`.",
            DeprecationWarning,
            stacklevel=2,
        )
        checkpoint_every = backup_every
    _check(
        model,
        validation_data,
        num_steps=num_steps,
        checkpoint_every=checkpoint_every,
        steps_per_epoch=steps_per_epoch,
        validate_every=validate_every,
    )
    check_optional_size("patience", patience)
    is_score = best_when_high(monitor, monitor_mode)
    length = steps_per_epoch or checkpoint_every
    validate_every = validate_every or length
    folder = pathlib.Path(folder)
    if (folder / "backup").is_dir():  # its name in older versions
        (folder / "backup").rename(folder / "checkpoints")
    counter = _StepCounter(
        folder,
        num_steps,
        checkpoint_every,
        steps_per_epoch,
        monitor,
        is_score,
        patience,
    )
    counter.resume(model)
    folder.mkdir(parents=True, exist_ok=True)
    every = [*callbacks]
    if redraw_interval is not None:
        every.append(RedrawProjections(redraw_interval))
    if tensorboard:
        every.append(keras.callbacks.TensorBoard(folder / "tensorboard"))
    try:
        while counter.step < num_steps and not counter.is_stopped:
            # Twice, where it goes on within an epoch: Keras's epochs are equally long.
            begun = counter.step % length if steps_per_epoch else 0
            start = counter.step - begun
            ends = [*range(start + length, num_steps, length), num_steps]
            epoch = -(-start // length)
            batches = batches_from(counter.step)
            _check_number(batches, counter.step, num_steps)
            model.fit(
                batches,
                initial_epoch=epoch,
                epochs=epoch + len(ends),
                steps_per_epoch=length - begun,
                validation_data=validation_data,
                # The epochs from 1 in which a multiple of `validate_every` lies.
                validation_freq=[
                    epoch + index
                    for index, end in enumerate(ends, 1)
                    if end % validate_every < length or end == num_steps
                ],
                callbacks=[*every, counter, ProgressLogger()],
                shuffle=False,
                verbose=verbose,
            )
    except MAYBE_OUT_OF_MEMORY as error:
        if not is_out_of_memory(error):
            raise
        when, data = f"step {counter.step}", batches_from(counter.step)
        if counter.is_validating:
            when, data = f"the validation after {when}", validation_data
        raise OutOfMemory(model, _first(data), when) from error
    return counter.history.rows()


class _StepCounter(keras.callbacks.Callback):
    """Counts the steps; writes the history, the best weights and the checkpoints.

    A checkpoint is written last: an epoch that it knows of is in the other files. What
    stops between two checkpoints is done again.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        num_steps: int,
        checkpoint_every: int,
        steps_per_epoch: int | None,
        monitor: str,
        is_score: bool,
        patience: int | None,
    ) -> None:
        super().__init__()
        self.step = 0
        self.history = HistoryFile(folder / "history.csv")
        self.is_stopped = False  # by another callback, or for lack of gains
        self.is_validating = False
        self._num_steps = num_steps
        self._checkpoint_every = checkpoint_every
        self._steps_per_epoch = steps_per_epoch
        self._monitor = monitor
        self._is_score = is_score
        self._patience = patience
        self._best = BestWeights(folder / "best.weights.h5")
        self._checkpoint = Checkpoint(folder / "checkpoints")

    def resume(self, model: Any) -> None:
        """Loads the state after the last checkpoint, and forgets what came later."""
        latest_step = self._checkpoint.latest_step()
        if latest_step > self._num_steps:
            raise ValueError(
                f"The training in {str(self._checkpoint.path.parent)!r} has done "
                f"{latest_step} steps, and num_steps={self._num_steps} was passed. "
                "Expected at least as many: choose another folder for a shorter "
                "training."
            )
        self.step = self._checkpoint.restore(model)
        self.history.truncate(self.step)
        self.is_stopped = self._has_stalled()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        length = self._steps_per_epoch or self._checkpoint_every
        self._begin = self.step
        # Steps of this epoch that were done before, whose metrics are not there yet.
        self._begun = self.step % length if self._steps_per_epoch else 0
        self._end = min(self.step - self._begun + length, self._num_steps)
        self._lacks_metrics = self._begun > 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        done = batch + 1
        self.step = self._begin + done
        if self._lacks_metrics:
            self._checkpoint.add_metrics(self.model)
            self._lacks_metrics = False
        if self.step >= self._num_steps:
            self.model.stop_training = True
        elif self.step < self._end and done % self._checkpoint_every == 0:
            self._checkpoint.save(self.model, self.step)

    def on_test_begin(self, logs: Any = None) -> None:
        self.is_validating = True

    def on_test_end(self, logs: Any = None) -> None:
        self.is_validating = False

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.is_stopped = self.model.stop_training
        if self.step < self._end:
            if self.is_stopped:
                return
            raise ValueError(
                f"`batches_from({self._begin})` or an earlier call had no batch for "
                f"step {self.step}. Expected batches up to step {self._num_steps}: "
                "repeat the data, or lower `num_steps`."
            )
        place = {} if self._steps_per_epoch is None else {"epoch": epoch}
        self.history.append(self.step, place | logs)
        if self._monitor in logs:
            best = self._measured(logs)
            self._best.keep(
                self.model, best["loss"], best.get("score"), step=self.step, **place
            )
        self._checkpoint.save(self.model, self.step)
        self.is_stopped |= self._has_stalled()
        if self._begun or self.is_stopped:
            self.model.stop_training = True  # the next `fit` has whole epochs

    def _measured(self, logs: Any) -> dict[str, float]:
        """The loss, and the score where that decides."""
        if not self._is_score:
            return {"loss": logs[self._monitor]}
        validated = self._monitor.startswith("val_")
        loss = logs["val_loss" if validated else "loss"]
        return {"loss": loss, "score": logs[self._monitor]}

    def _has_stalled(self) -> bool:
        """Whether the last measurements, as many as `patience`, brought no gain."""
        if self._patience is None:
            return False
        best, without_gain = {"loss": float("inf")}, 0
        for row in self.history.rows():
            if self._monitor in row:
                measured = self._measured(row)
                without_gain += 1
                if is_better(measured, best):
                    best, without_gain = measured, 0
        return without_gain >= self._patience


def best_when_high(monitor: str, mode: str) -> bool:
    """Whether a higher value is better."""
    if mode not in ("auto", "min", "max"):
        raise ValueError(
            "`monitor_mode` must be 'auto', 'min' or 'max'. Received: monitor_mode="
            f"{mode!r}"
        )
    return mode == "max" or (mode == "auto" and bool(_SCORES.search(monitor)))


def _check(model: Any, validation_data: Any, **intervals: int | None) -> None:
    if not model.compiled or not model.built:
        raise ValueError(
            f"The model {model.name!r} is not "
            f"{'built' if model.compiled else 'compiled'}: call "
            f"{'it on a batch' if model.compiled else '`model.compile(...)`'} first."
        )
    if isinstance(validation_data, collections.abc.Iterator):
        raise ValueError(
            "`validation_data` is read many times, and an iterator only once: pass a "
            "dataset or arrays. Received: validation_data="
            f"{type(validation_data).__name__}"
        )
    given = {name: value for name, value in intervals.items() if value is not None}
    for name, value in given.items():
        check_size(name, value)
        if value % model.steps_per_execution:
            raise ValueError(
                f"`{name}` must be a multiple of the model's `steps_per_execution`, "
                f"{model.steps_per_execution}. Received: {name}={value}"
            )
    if "validate_every" not in given:
        return
    validate_every = given["validate_every"]
    if validation_data is None:
        raise ValueError(
            "`validate_every` needs `validation_data`. Received: validate_every="
            f"{validate_every!r}, validation_data=None"
        )
    name = "steps_per_epoch" if "steps_per_epoch" in given else "checkpoint_every"
    if validate_every < given[name]:
        raise ValueError(
            f"Validations are made after epochs: `validate_every` must be at least "
            f"`{name}`. Received: validate_every={validate_every}, {name}={given[name]}"
        )


def _check_number(batches: Any, step: int, num_steps: int) -> None:
    """Refuses what is known to end too early: Keras would begin it anew."""
    number = getattr(batches, "num_batches", None)  # of a `PyDataset`
    if number is None:
        try:
            number = len(batches)
        except TypeError:  # unknown, or infinite
            return
    if number < num_steps - step:
        raise ValueError(
            f"`batches_from({step})` has {number} batches. Expected those up to step "
            f"{num_steps}, {num_steps - step}: repeat the data, or lower `num_steps`."
        )


def _first(batches: Any) -> Any:
    """The first batch, for its shapes."""
    if isinstance(batches, tuple):  # of arrays, as validation data may be
        return batches
    return next(iter(batches))
