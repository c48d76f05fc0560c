"""`train_encoder`: the steps of a training on windows of documents."""

from collections.abc import Callable
from typing import Any

import keras

from keras_performer.callbacks import RedrawProjections
from keras_performer.text import DocumentBatches
from keras_performer.training.checkpoints.best_weights import BestWeights
from keras_performer.training.history_file import HistoryFile
from keras_performer.training.performer_optimizer import warm_up_and_decay
from keras_performer.training.run_folder import RunFolder
from keras_performer.training.train_steps import train_steps
from keras_performer.training.training_settings import TrainingSettings

CHECKPOINT_EVERY = 100  # steps: half a minute to some minutes


def train_encoder(
    model: keras.Model,
    settings: TrainingSettings,
    folder: RunFolder,
    batches: DocumentBatches,
    change: Callable[[Any, Any], Any],
    compile_arguments: dict[str, Any],
    monitor: str = "loss",
    validation_data: Any = None,
    verbose: int | str = "auto",
    tensorboard: bool = False,
) -> None:
    """Trains a model that has an encoder, and gives it the weights of the best epoch.

    An epoch is as many steps as a pass over the documents has on average.

    Args:
        model: The model, not compiled.
        settings: The settings of the training.
        folder: Its `RunFolder`.
        batches: `DocumentBatches` with a seed.
        change: Function from a step and its batch to what `fit` takes; of the step all
            that it draws is a function.
        compile_arguments: Loss and metrics for `keras.Model.compile`.
        monitor: Name of the measure that says which epoch is the best.
        validation_data: Batches to measure it on; `None` for those of the training.
        verbose: `verbose` of `keras.Model.fit`.
        tensorboard: Whether to write event files for TensorBoard.
    """
    steps_per_epoch = _steps_per_epoch(settings, folder, batches)
    num_steps = steps_per_epoch * settings.epochs
    _compile(model, settings, num_steps, compile_arguments)
    callbacks = []
    redraws = any(getattr(layer, "redraws", False) for layer in model.layers)
    if settings.redraw_interval and redraws:
        callbacks.append(RedrawProjections(settings.redraw_interval, settings.seed))
    if validation_data is not None:
        monitor = f"val_{monitor}"
    history = train_steps(
        model,
        lambda step: batches.dataset(step).enumerate(step).map(change),
        num_steps,
        folder.path,
        checkpoint_every=CHECKPOINT_EVERY,
        steps_per_epoch=steps_per_epoch,
        validation_data=validation_data,
        monitor=monitor,
        patience=settings.early_stopping or None,
        callbacks=callbacks,
        tensorboard=tensorboard,
        verbose=verbose,
    )
    if history[-1]["step"] < num_steps:
        say(
            verbose,
            f"Ended after epoch {history[-1]['epoch'] + 1} of {settings.epochs}: "
            f"{settings.early_stopping} without a better {monitor}",
        )
    BestWeights(folder.best_weights_path).load(model)


def say(verbose: int | str, line: str) -> None:
    """Prints a line, unless nothing is to be said."""
    if verbose:
        print(line, flush=True)


def _steps_per_epoch(
    settings: TrainingSettings, folder: RunFolder, batches: DocumentBatches
) -> int:
    """The length of the epochs before, if there are any: it depends on `epochs`."""
    history = HistoryFile(folder.history_path).rows()
    if history:
        return int(history[-1]["step"] // (history[-1]["epoch"] + 1))
    return batches.steps_per_pass(settings.epochs)


def _compile(
    model: keras.Model,
    settings: TrainingSettings,
    steps: int,
    arguments: dict[str, Any],
) -> None:
    schedule = warm_up_and_decay(settings.learning_rate, steps)
    optimizer = keras.optimizers.AdamW(
        schedule, weight_decay=settings.weight_decay, global_clipnorm=1.0
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    model.compile(
        optimizer,
        **arguments,
        # XLA takes a sixth off a step on a processor, and compiles for each width of a
        # batch as long as some hundred steps take: see benchmarks/README.md.
        jit_compile=False,
    )
