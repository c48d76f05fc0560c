"""`StepRecord`: counts the steps of a training and writes down how far it has come."""

import keras


class StepRecord(keras.callbacks.Callback):
    """After each epoch of `fit`: a row of the history, the best weights, the backup.

    Here an epoch is a stretch of as many steps as lie between two backups; the last
    one may be shorter. What stops in the middle of one is not written: the training
    goes on after the backup before it.

    Args:
        start: Number of steps done before.
        num_steps: Number of steps after which the training is complete.
        steps_per_epoch: Steps between two backups.
        history: A `HistoryFile`.
        best: A `BestWeights` of a validation's loss.
        backup: A `Backup`, which is written last.
    """

    def __init__(self, start, num_steps, steps_per_epoch, history, best, backup):
        super().__init__()
        self.step = start
        self.validating = False
        self._num_steps = num_steps
        self._steps_per_epoch = steps_per_epoch
        self._history = history
        self._best = best
        self._backup = backup
        self._begin = start

    def on_epoch_begin(self, epoch, logs=None):
        self._begin = self.step

    def on_train_batch_end(self, batch, logs=None):
        self.step = self._begin + batch + 1
        if self.step >= self._num_steps:
            self.model.stop_training = True

    def on_test_begin(self, logs=None):
        self.validating = True

    def on_test_end(self, logs=None):
        self.validating = False

    def on_epoch_end(self, epoch, logs=None):
        if self.step < min(self._begin + self._steps_per_epoch, self._num_steps):
            if self.model.stop_training:  # by another callback
                return
            raise ValueError(
                f"`batches_from({self._begin})` or an earlier call had no batch for "
                f"step {self.step}. Expected batches up to step {self._num_steps}: "
                "repeat the data, or lower `num_steps`."
            )
        self._history.append(self.step, logs)
        if self._best.monitor in logs:
            self._best.keep(self.model, logs[self._best.monitor], step=self.step)
        self._backup.save(self.model, self.step)
