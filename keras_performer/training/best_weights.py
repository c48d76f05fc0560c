"""`BestWeights`: keeps the weights of the best epoch, over interruptions too."""

import json
import pathlib

import keras

from keras_performer.training.whole_file import room_for, whole_file, write_text


class BestWeights(keras.callbacks.Callback):
    """Writes a model's weights whenever a loss is the lowest so far.

    Unlike `keras.callbacks.ModelCheckpoint` it knows after a restart what was best
    before it, and writes aside and renames, so that a kill in between loses nothing.

    Args:
        path: File of the weights, `*.weights.h5`. The loss and the epoch are written
            beside it as JSON.
        monitor: Name of the loss, such as `"val_loss"`.

    Example:

    >>> BestWeights("run/best.weights.h5", monitor="val_loss").best()["loss"]
    inf
    """

    def __init__(self, path, monitor):
        super().__init__()
        self.path = pathlib.Path(path)
        self.record_path = self.path.with_name(
            self.path.name.removesuffix(".weights.h5") + ".json"
        )
        self.monitor = monitor

    def best(self):
        """Returns the lowest loss and its place, as `{"loss": ..., "epoch": ...}`.

        Raises:
            ValueError: If the record cannot be read.
        """
        if not self.record_path.exists():
            return {"loss": float("inf")}
        try:
            best = json.loads(self.record_path.read_text())
            return best | {"loss": float(best["loss"])}
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{self.record_path} is damaged: {error!r}. Remove it and run the same "
                "training again: the best of what follows is kept."
            ) from error

    def load(self, model):
        """Loads the best weights into a model.

        Raises:
            ValueError: If no loss was finite, or the file is damaged or of another
                model.
        """
        if self.best()["loss"] == float("inf"):
            raise ValueError(
                f"No {self.monitor} was finite: the training diverged. Lower the "
                "learning rate and train anew in another folder."
            )
        # Of a compiled model Keras saves, and expects, the optimizer's variables too.
        if model.compiled and not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        try:
            model.load_weights(self.path)
        except (OSError, KeyError, ValueError) as error:
            raise ValueError(
                f"{self.path} is damaged, or of another model: {error}. The weights of "
                "the last backup are there still: run the same training again, or "
                "train anew in another folder."
            ) from error

    def keep(self, model, loss, **place):
        """Writes the model's weights if the loss is the lowest so far.

        Args:
            model: The model.
            loss: Its loss, a number.
            **place: When it was measured, such as `epoch=3` or `step=3000`.

        Raises:
            OSError: If the weights cannot be written; those before are whole.
        """
        loss = float(loss)
        if not loss < self.best()["loss"]:  # a loss that is no number is not less
            return
        with whole_file(self.path, room_for(model)) as aside:
            model.save_weights(aside, overwrite=True)
        write_text(self.record_path, json.dumps({"loss": loss} | place) + "\n")

    def on_epoch_end(self, epoch, logs=None):
        if self.monitor not in (logs or {}):
            raise ValueError(
                f"The loss {self.monitor!r} is not among what the epoch measured: "
                f"{sorted(logs or {})}."
            )
        self.keep(self.model, logs[self.monitor], epoch=epoch)
