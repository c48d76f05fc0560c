"""Keras callbacks: `RedrawProjections`."""

from typing import Any

import keras

from keras_performer.layers import FastAttention


class RedrawProjections(keras.callbacks.Callback):
    """Resamples the random projections of a model every `interval` training steps.

    With one projection for a whole training, a model fits the error of that sample, and
    training with positive features plateaus; with resampling it matches the exact
    Transformer (section 4.2 of arXiv 2009.14794). A sample is a function of the seed,
    the optimizer's step and the index of the layer in the model. So every replica has
    the same samples, and a training that resumes from a checkpoint has those of an
    uninterrupted one. It is drawn when the next step begins, so that what is validated,
    saved and used after training has the projections that it was trained with. Nothing
    is resampled outside of training, nor in a layer that is not `trainable`.

    Args:
        interval: Steps of the optimizer between two samples.
        seed: Non-negative integer.

    Raises:
        ValueError: If `interval` is not positive, or the model has no projection to
            resample.

    Example:

    >>> import numpy as np
    >>> inputs = keras.Input((None, 8))
    >>> model = keras.Model(inputs, FastAttention(2, 4, seed=0)(inputs, inputs))
    >>> model.compile("sgd", "mse", jit_compile=False)
    >>> x = np.ones((4, 5, 8), "float32")
    >>> history = model.fit(
    ...     x, x, batch_size=2, verbose=0, callbacks=[RedrawProjections(interval=2)]
    ... )
    """

    def __init__(self, interval: int = 1000, seed: int = 0) -> None:
        super().__init__()
        if not isinstance(interval, int) or interval <= 0:
            raise ValueError(
                "`interval` must be a positive number of steps. Received: "
                f"interval={interval!r}"
            )
        if not isinstance(seed, int) or seed < 0:
            raise ValueError(
                f"`seed` must be a non-negative integer. Received: seed={seed!r}"
            )
        self.interval = interval
        self.seed = seed
        self._samples = 0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        # As before the last step: a sample may be due with the first that comes.
        self._samples = max(self._step() - self._updates(), 0) // self.interval
        if not self._layers():
            raise ValueError(
                "The model has no `FastAttention` layer that draws a projection, so "
                "there is nothing to redraw: leave the callback out. (The map "
                "`feature_map='relu'` needs none.)"
            )

    def on_train_batch_begin(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        step = self._step()
        # Counted in whole intervals, as one call may stand for several steps.
        before, self._samples = self._samples, step // self.interval
        if self._samples > before:
            for index, layer in enumerate(self._layers()):
                if layer.trainable:
                    layer.redraw_projection((self.seed, step, index))

    def _updates(self) -> int:
        """Steps of the optimizer in one call of the compiled training step, or 1."""
        batches = self.model.optimizer.gradient_accumulation_steps or 1
        return max(self.model.steps_per_execution // batches, 1)

    def _step(self) -> int:
        # As a tensor first: under a strategy it is a variable of several devices.
        step = keras.ops.convert_to_tensor(self.model.optimizer.iterations)
        return int(keras.ops.convert_to_numpy(step))

    def _layers(self) -> list[FastAttention]:
        return [
            layer
            for layer in self.model._flatten_layers()
            if isinstance(layer, FastAttention) and layer.redraws
        ]
