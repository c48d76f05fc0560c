"""`RedrawProjections`: what it draws, when, and that the next step computes with it."""

import keras
import numpy as np
import pytest
from tolerances import assert_close

from keras_performer.callbacks import RedrawProjections
from keras_performer.layers import FastAttention
from keras_performer.ops import projections

B, T, F, H, D, M = 2, 7, 6, 3, 5, 11


def layers(number=2, **arguments):
    arguments = {"num_features": M, "seed": 0} | arguments
    return [FastAttention(H, D, **arguments) for _ in range(number)]


def model_of(layers, learning_rate=0.125, **options):
    outputs = inputs = keras.Input((None, F))
    for layer in layers:
        outputs = layer(outputs, outputs)
    model = keras.Model(inputs, outputs)
    optimizer = keras.optimizers.SGD(learning_rate, **options)
    model.compile(optimizer, "mse", jit_compile=False)
    return model


def draw(number, seed=0):
    """Inputs and targets of a number of equal batches."""
    x, y = np.random.default_rng(seed).standard_normal((2, B, T, F)).astype("float32")
    return np.tile(x, (number, 1, 1)), np.tile(y, (number, 1, 1))


def fit(model, steps, callback):
    return model.fit(
        *draw(steps), batch_size=B, shuffle=False, verbose=0, callbacks=[callback]
    )


def projection(layer):
    (weight,) = layer.non_trainable_weights[:1]
    return keras.ops.convert_to_numpy(weight)


@pytest.mark.cases("2-None", "3-2")
@pytest.mark.parametrize(
    ("steps", "last_draw"), [(1, None), (2, None), (3, 2), (5, 4), (6, 4)]
)
def test_the_draw_is_a_function_of_seed_step_and_place(steps, last_draw):
    first, second = layers()
    model = model_of([first, second])
    before = [projection(layer) for layer in (first, second)]
    fit(model, steps, RedrawProjections(interval=2, seed=3))
    for index, layer in enumerate((first, second)):
        expected = before[index]
        if last_draw is not None:
            expected = projections.orthogonal((3, last_draw, index), M, D)
        assert np.array_equal(projection(layer), expected)


def test_the_next_step_computes_with_the_new_projection():
    """At a learning rate of zero nothing else changes the loss."""
    (layer,) = layers(1)
    model = model_of([layer], learning_rate=0.0)
    steps = 3
    x, y = draw(1)
    expected = []
    for step in range(steps):
        if step:
            layer.redraw_projection((3, step, 0))
        expected.append(model.evaluate(x, y, verbose=0))
    assert np.min(np.abs(np.diff(expected))) > 1e-3
    layer.redraw_projection(0)
    history = fit(model, steps, RedrawProjections(interval=1, seed=3))
    # Within one epoch, where JAX keeps the state of training apart from the model.
    assert_close(np.array(history.history["loss"]), np.array([np.mean(expected)]))


@pytest.mark.cases("1")
@pytest.mark.parametrize("batches", [1, 2])  # of an update
def test_a_training_that_goes_on_draws_what_the_whole_draws(batches):
    results = []
    for parts in ([5 * batches], [1, 5 * batches - 2, 1], [2 * batches, 3 * batches]):
        keras.utils.set_random_seed(0)
        (layer,) = layers(1)
        accumulated = batches if batches > 1 else None
        model = model_of([layer], gradient_accumulation_steps=accumulated)
        for steps in parts:
            fit(model, steps, RedrawProjections(interval=2, seed=3))
        results.append([keras.ops.convert_to_numpy(w) for w in model.weights])
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            assert_close(a, b)


def test_nothing_is_redrawn_outside_of_training():
    (layer,) = layers(1)
    model = model_of([layer])
    before = projection(layer)
    callback = RedrawProjections(interval=1)
    model.predict(draw(2)[0], verbose=0, callbacks=[callback])
    model.evaluate(*draw(2), verbose=0, callbacks=[callback])
    assert np.array_equal(before, projection(layer))


@pytest.mark.parametrize("feature_map", ["relu", "learned"])
def test_a_model_without_a_projection_to_draw_is_refused(feature_map):
    arguments = {"num_features": None} if feature_map == "relu" else {}
    model = model_of(layers(1, feature_map=feature_map, **arguments))
    with pytest.raises(ValueError, match="nothing to redraw"):
        fit(model, 1, RedrawProjections())


@pytest.mark.parametrize("interval", [0, -1, 2.0, None])
def test_the_interval_is_a_positive_number_of_steps(interval):
    with pytest.raises(ValueError, match="`interval`"):
        RedrawProjections(interval=interval)


@pytest.mark.parametrize("seed", [-1, 0.5, None])
def test_the_seed_is_a_non_negative_integer(seed):
    with pytest.raises(ValueError, match="`seed`"):
        RedrawProjections(seed=seed)


def test_a_frozen_layer_keeps_its_projection():
    first, second = layers()
    model = model_of([first, second])
    first.trainable = False
    before = projection(first)
    fit(model, 3, RedrawProjections(interval=2, seed=3))
    assert np.array_equal(projection(first), before)
    # The place of the other one is what it was.
    expected = projections.orthogonal((3, 2, 1), M, D)
    assert np.array_equal(projection(second), expected)
