"""`train_steps`: trains a model for a number of steps, resumable at each backup."""

import collections.abc
import pathlib

import keras

from keras_performer.callbacks import RedrawProjections
from keras_performer.layers.validation import check_size
from keras_performer.training.backup import Backup
from keras_performer.training.best_weights import BestWeights
from keras_performer.training.history_file import HistoryFile
from keras_performer.training.out_of_memory import (
    MAYBE_OUT_OF_MEMORY,
    OutOfMemory,
    is_out_of_memory,
)
from keras_performer.training.progress import ProgressLogger
from keras_performer.training.step_record import StepRecord


def train_steps(
    model,
    batches_from,
    num_steps,
    folder,
    *,
    backup_every=1000,
    redraw_interval=None,
    validation_data=None,
    validate_every=None,
    callbacks=(),
    tensorboard=False,
    verbose="auto",
):
    """Trains a compiled model for a number of steps, where a kill loses no step twice.

    A step is a batch. Called again after a kill at any moment, with a model that is
    made in the same way, it goes on after the last backup with the very next batch:
    weights, optimizer, projections and dropout become those of an uninterrupted
    training, bit for bit where the machine computes deterministically. Called on a
    complete training it loads its state and returns at once; called with more steps it
    goes on. In the folder are

    | file | what |
    |---|---|
    | `history.csv` | losses and metrics, a row for each stretch between backups |
    | `backup/` | the states of the last two backups |
    | `best.weights.h5`, `best.json` | the weights of the lowest `val_loss`, its step |
    | `tensorboard/` | event files, where asked for; an epoch is such a stretch |

    Args:
        model: A built `keras.Model`, compiled, such as with `performer_optimizer`.
        batches_from: Function from a step to what `fit` takes as batches (`tf.data`,
            Grain, `keras.utils.PyDataset`, a generator), the first being that of the
            step. It must be a function of the step alone, and not end before
            `num_steps`.
        num_steps: Number of steps of the whole training.
        folder: Folder to write to.
        backup_every: Steps between two backups.
        redraw_interval: Updates of the optimizer between two draws of the projections,
            or `None` for `callbacks` to say.
        validation_data: What `fit` takes as such, and can be read many times.
        validate_every: Steps between two validations, which are made at backups.
            Defaults to `backup_every`; the last step is always followed by one.
        callbacks: Further `keras.callbacks.Callback`s. What they keep outside of the
            model and the optimizer begins anew in each call.
        tensorboard: Whether to write event files for TensorBoard.
        verbose: As for `keras.Model.fit`; off a terminal, lines instead of a bar.

    Returns:
        The history, a list of dictionaries with `"step"`, `"loss"` and so on. The
        model has the state after the last step.

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
    ...     model, batches_from, 50, "run", backup_every=20, verbose=0
    ... )
    >>> [row["step"] for row in history]
    [20, 40, 50]
    """
    validate_every = _checked(
        model, num_steps, backup_every, validation_data, validate_every
    )
    folder = pathlib.Path(folder)
    backup = Backup(folder / "backup")
    if backup.done() > num_steps:
        raise ValueError(
            f"The training in {str(folder)!r} has done {backup.done()} steps, and "
            f"num_steps={num_steps} was passed. Expected at least as many: choose "
            "another folder for a shorter training."
        )
    folder.mkdir(parents=True, exist_ok=True)
    step = backup.restore(model)
    history = HistoryFile(folder / "history.csv")
    history.keep_until(step)
    if step == num_steps:
        return history.rows()

    batches = batches_from(step)
    _check_number(batches, step, num_steps)
    best = BestWeights(folder / "best.weights.h5", monitor="val_loss")
    record = StepRecord(step, num_steps, backup_every, history, best, backup)
    every = [*callbacks]
    if redraw_interval is not None:
        every.append(RedrawProjections(redraw_interval))
    if tensorboard:
        every.append(keras.callbacks.TensorBoard(folder / "tensorboard"))
    done_epochs = -(-step // backup_every)
    ends = [*range(step + backup_every, num_steps, backup_every), num_steps]
    try:
        model.fit(
            batches,
            initial_epoch=done_epochs,
            epochs=done_epochs + len(ends),
            steps_per_epoch=backup_every,
            validation_data=validation_data,
            # The epochs from 1 in which a multiple of `validate_every` lies.
            validation_freq=[
                done_epochs + index
                for index, end in enumerate(ends, 1)
                if end % validate_every < backup_every or end == num_steps
            ],
            callbacks=[*every, record, ProgressLogger()],
            shuffle=False,
            verbose=verbose,
        )
    except MAYBE_OUT_OF_MEMORY as error:
        if not is_out_of_memory(error):
            raise
        when, data = f"step {record.step}", batches_from(record.step)
        if record.validating:
            when, data = f"the validation after {when}", validation_data
        raise OutOfMemory(model, _first(data), when) from error
    return history.rows()


def _checked(model, num_steps, backup_every, validation_data, validate_every):
    """The interval of validation, where all is well."""
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
    if validate_every is None:
        validate_every = backup_every
    elif validation_data is None:
        raise ValueError(
            "`validate_every` needs `validation_data`. Received: validate_every="
            f"{validate_every!r}, validation_data=None"
        )
    for name, value in (
        ("num_steps", num_steps),
        ("backup_every", backup_every),
        ("validate_every", validate_every),
    ):
        check_size(name, value)
        if value % model.steps_per_execution:
            raise ValueError(
                f"`{name}` must be a multiple of the model's `steps_per_execution`, "
                f"{model.steps_per_execution}. Received: {name}={value}"
            )
    if validate_every < backup_every:
        raise ValueError(
            "Validations are made at backups: `validate_every` must be at least "
            f"`backup_every`. Received: validate_every={validate_every}, backup_every="
            f"{backup_every}"
        )
    return validate_every


def _check_number(batches, step, num_steps):
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


def _first(batches):
    """The first batch, for its shapes."""
    if isinstance(batches, tuple):  # of arrays, as validation data may be
        return batches
    return next(iter(batches))
