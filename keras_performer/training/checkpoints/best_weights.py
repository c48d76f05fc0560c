"""`BestWeights`: the weights of the best epoch, over interruptions too."""

import json
import os
import pathlib
from typing import Any

from keras_performer.training.checkpoints.atomic_write import (
    atomic_write,
    atomic_write_text,
    room_for,
)


class BestWeights:
    """Writes a model's weights whenever a score or a loss is the best so far.

    The highest score is the best, such as an accuracy, and of equal scores the lowest
    loss. Without a score the loss alone decides.

    Unlike `keras.callbacks.ModelCheckpoint` it knows after a restart what was best
    before it, and a kill while it writes loses nothing.

    Args:
        path: File of the weights, `*.weights.h5`. The loss, the score and when they
            were measured are written beside it as JSON.

    Example:

    >>> BestWeights("run/best.weights.h5").best()["loss"]
    inf
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = pathlib.Path(path)
        self.record_path = self.path.with_name(
            self.path.name.removesuffix(".weights.h5") + ".json"
        )

    def best(self) -> dict[str, Any]:
        """Returns what was best and its place, as `{"loss": ..., "step": ...}`.

        Where there was a score, it is there as `"score"`.

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

    def load(self, model: Any) -> None:
        """Loads the best weights into a model.

        Raises:
            ValueError: If no loss was finite, or the file is damaged or of another
                model.
        """
        if self.best()["loss"] == float("inf"):
            raise ValueError(
                "No loss was finite: the training diverged. Lower the learning rate "
                "and train again in another folder."
            )
        # Of a compiled model Keras saves, and expects, the optimizer's variables too.
        if model.compiled and not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        try:
            model.load_weights(self.path)
        except (OSError, KeyError, ValueError) as error:
            raise ValueError(
                f"{self.path} is damaged, or of another model: {error}. The weights of "
                "the last checkpoint are there still: run the same training again, or "
                "train again in another folder."
            ) from error

    def keep(
        self, model: Any, loss: float, score: float | None = None, **place: int
    ) -> None:
        """Writes the model's weights if they are the best so far.

        Args:
            model: The model.
            loss: Its loss, a number. With one that is not finite nothing is written.
            score: What decides before the loss does, the highest being the best.
            **place: When it was measured, such as `step=3000`.

        Raises:
            OSError: If the weights cannot be written; those before are whole.
        """
        measured = {"loss": float(loss)}
        if score is not None:
            measured["score"] = float(score)
        if not is_better(measured, self.best()):
            return
        with atomic_write(self.path, room_for(model)) as temporary:
            model.save_weights(temporary, overwrite=True)
        atomic_write_text(self.record_path, json.dumps(measured | place) + "\n")


def is_better(measured: dict[str, Any], best: dict[str, Any]) -> bool:
    """Whether a loss, or a score and a loss, is better than the best so far.

    Args:
        measured: Dictionary of `"loss"` and, where it decides, `"score"`.
        best: The best so far; `{"loss": inf}` where there is none.

    Returns:
        A boolean, `False` for a loss that is not finite.

    Example:

    >>> is_better({"score": 0.9, "loss": 2.0}, {"score": 0.8, "loss": 1.0})
    True
    """
    if not measured["loss"] < float("inf"):  # also for a loss that is no number
        return False
    if "score" not in measured:
        return measured["loss"] < best["loss"]
    best_score = best.get("score", -float("inf"))
    return (measured["score"], -measured["loss"]) > (best_score, -best["loss"])
