"""The same weights and data train to the same losses on every backend."""

import keras
import numpy as np
import pytest
from layer_inputs import numpy
from tolerances import assert_close

from keras_performer.callbacks import RedrawProjections
from keras_performer.layers import FastAttention

B, T, F, H, D, M = 4, 11, 6, 3, 5, 13
BATCHES, EPOCHS = 2, 3

# The mean squared error before each epoch and after the last, computed by TensorFlow in
# float64. With the step after every second one the projections are resampled, where a
# map has any.
CURVES = [
    ({"num_features": M}, [2.050824087, 1.987608002, 2.004108023, 2.069280061]),
    (
        {"num_features": M, "use_causal_mask": True},
        [2.357553477, 2.16159242, 2.071563728, 2.022213326],
    ),
    ({"feature_map": "relu"}, [2.464995623, 2.210544172, 2.03706448, 1.934774425]),
    (
        {"feature_map": "learned", "num_features": M},
        [2.050824087, 1.986669566, 1.930105971, 1.888868979],
    ),
    (
        {"feature_map": "favor_sharp", "num_features": M},
        [2.050824087, 2.04867941, 2.036155662, 2.056909808],
    ),
]
# A map that adapts and is resampled: all that a step does.
OFTEN = (4,)


def model_of(dtype, use_causal_mask=False, **arguments):
    """Two layers in a row, of fixed weights, with a residual connection."""
    x = inputs = keras.Input((T, F), dtype=dtype)
    mask = keras.Input((T,), dtype="bool")
    for seed in (1, 2):
        layer = FastAttention(H, D, seed=seed, dtype=dtype, **arguments)
        attended = layer(x, x, value_mask=mask, use_causal_mask=use_causal_mask)
        x = keras.layers.Add(dtype=dtype)([x, attended])
    model = keras.Model([inputs, mask], x)
    generator = np.random.default_rng(0)
    for weight in model.trainable_weights:
        if weight.path.endswith("kernel"):
            weight.assign(0.3 * generator.standard_normal(weight.shape))
    # Exactly so in any dtype: rates that are no sums of powers of two are not.
    optimizer = keras.optimizers.SGD(learning_rate=0.03125, momentum=0.5)
    loss = keras.losses.MeanSquaredError(dtype=dtype)
    model.compile(optimizer, loss, jit_compile=False)
    return model


def curve(dtype, arguments):
    generator = np.random.default_rng(1)
    x, y = generator.standard_normal((2, BATCHES * B, T, F)).astype(dtype)
    mask = np.arange(T) < generator.integers(T // 2, T + 1, (BATCHES * B, 1))
    model = model_of(dtype, **arguments)
    redraws = any(getattr(layer, "redraws", False) for layer in model.layers)
    callbacks = [RedrawProjections(interval=2)] if redraws else []
    losses = [np.mean(np.square(numpy(model([x, mask])) - y))]
    for _ in range(EPOCHS):
        model.fit(
            [x, mask], y, batch_size=B, shuffle=False, verbose=0, callbacks=callbacks
        )
        losses.append(np.mean(np.square(numpy(model([x, mask])) - y)))
    return np.array(losses)


@pytest.mark.parametrize(
    ("arguments", "losses", "dtype"),
    [
        pytest.param(*case, "float32", marks=[] if i in OFTEN else pytest.mark.slow)
        for i, case in enumerate(CURVES)
    ]
    + [pytest.param(*CURVES[-1], "float64", marks=pytest.mark.slow)],
    ids=str,
)
def test_losses(arguments, losses, dtype):
    # In float32 whatever the policy: Keras's losses are no more exact on PyTorch.
    assert_close(curve(dtype, arguments), np.array(losses), "float32")
