"""The paper's optimizer: what it clips, what decays, and the unit of its schedule."""

import keras
import numpy as np
import pytest

from keras_performer.models import PerformerBackbone
from keras_performer.training import performer_optimizer


def apply(optimizer, variables, gradients):
    optimizer.apply([keras.ops.convert_to_tensor(g) for g in gradients], variables)


def test_the_recipe_of_the_paper():
    config = performer_optimizer().get_config()
    recipe = {
        "learning_rate": 1e-3,
        "beta_1": 0.9,
        "beta_2": 0.98,
        "epsilon": 1e-9,
        "weight_decay": 0.1,
        "global_clipnorm": 0.5,
        "gradient_accumulation_steps": None,
    }
    assert {name: config[name] for name in recipe} == pytest.approx(recipe)


def test_biases_and_normalizations_do_not_decay():
    model = keras.Sequential(
        [
            keras.Input((None,)),
            PerformerBackbone(7, 1, 2, 8, 8, name="backbone"),
            keras.layers.RMSNormalization(),
        ]
    )
    optimizer = performer_optimizer(learning_rate=0.5)
    optimizer.build(model.trainable_variables)
    before = {v.path: np.array(v) for v in model.trainable_variables}
    zeros = [np.zeros(v.shape, "float32") for v in model.trainable_variables]
    apply(optimizer, model.trainable_variables, zeros)
    for variable in model.trainable_variables:
        kept = variable.name in ("bias", "gamma", "beta", "scale")
        factor = 1.0 if kept else 1 - 0.5 * 0.1
        expected = before[variable.path] * factor
        np.testing.assert_allclose(variable, expected, rtol=1e-6, err_msg=variable.path)
    names = {v.name for v in model.trainable_variables}
    assert {"embeddings", "kernel", "bias", "gamma", "beta", "scale"} <= names


def test_the_global_norm_is_clipped():
    # By the first moment, as Adam's step does not depend on the gradient's scale.
    optimizer = performer_optimizer()
    variables = [
        keras.Variable(np.zeros(2, "float32")),
        keras.Variable(np.zeros(1, "float32")),
    ]
    apply(optimizer, variables, [np.float32([3, 0]), np.float32([4])])
    moments = [np.array(v) / 0.1 for v in optimizer.variables if "momentum" in v.path]
    np.testing.assert_allclose(np.concatenate(moments), [0.3, 0, 0.4], rtol=1e-5)


def test_a_schedule_counts_batches_where_gradients_accumulate():
    asked = keras.optimizers.schedules.PolynomialDecay(1.0, 12, 0.0)
    optimizer = performer_optimizer(asked, gradient_accumulation_steps=4)
    variable = keras.Variable(np.ones(2, "float32"), name="kernel")
    rates = []
    for _ in range(12):
        rates.append(float(optimizer.learning_rate))
        apply(optimizer, [variable], [np.ones(2, "float32")])
    assert rates == pytest.approx([1 - step / 12 for step in range(12)])
    assert int(optimizer.iterations) == 3


def test_accumulated_gradients_are_those_of_one_batch():
    parts = np.random.default_rng(0).normal(size=(3, 5)).astype("float32")
    ones = np.ones(5, "float32")
    whole, summed = (keras.Variable(ones, name="kernel") for _ in range(2))
    apply(performer_optimizer(), [whole], [parts.mean(0)])
    optimizer = performer_optimizer(gradient_accumulation_steps=3)
    for part in parts:
        np.testing.assert_array_equal(summed, ones)
        apply(optimizer, [summed], [part])
    np.testing.assert_allclose(summed, whole, rtol=1e-6)
