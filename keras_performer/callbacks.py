"""Keras callbacks: `RedrawProjections`."""

import keras

from keras_performer.layers import FastAttention


class RedrawProjections(keras.callbacks.Callback):
    """Draws the random projections of a model anew, every so many training steps.

    With one projection for the whole of a training a model fits that draw's error, and
    training with positive features plateaus; with redrawing it matches the exact
    Transformer (section 4.2 of arXiv 2009.14794). What is drawn is a function of the
    seed, the optimizer's step and the layer's place in the model alone. So it is the
    same on every replica, and a training that resumes from a checkpoint draws what the
    uninterrupted one would have drawn. Nothing is redrawn outside of training.

    Args:
        interval: Steps of the optimizer between two draws.
        seed: Non-negative integer.

    Raises:
        ValueError: If `interval` is not positive, or the model has no projection to
            draw.

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

    def __init__(self, interval=1000, seed=0):
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
        self._draws = 0

    def on_train_begin(self, logs=None):
        self._draws = self._step() // self.interval
        if not self._layers():
            raise ValueError(
                "The model has no `FastAttention` layer that draws a projection, so "
                "there is nothing to redraw: leave the callback out. (The map "
                "`feature_map='relu'` needs none.)"
            )

    def on_train_batch_end(self, batch, logs=None):
        step = self._step()
        # By whole intervals, as one call may stand for several steps.
        draws, self._draws = self._draws, step // self.interval
        if self._draws > draws:
            for index, layer in enumerate(self._layers()):
                layer.redraw_projection((self.seed, step, index))

    def _step(self):
        # As a tensor first: under a strategy it is a variable of several devices.
        step = keras.ops.convert_to_tensor(self.model.optimizer.iterations)
        return int(keras.ops.convert_to_numpy(step))

    def _layers(self):
        return [
            layer
            for layer in self.model._flatten_layers()
            if isinstance(layer, FastAttention) and layer.redraws
        ]
