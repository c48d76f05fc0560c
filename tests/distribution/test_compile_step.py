"""The model and the step of a plan, run for real on a processor, with JAX."""

import keras
import numpy as np
import pytest

from keras_performer.distribution import PlanSettings

if keras.backend.backend() != "jax":
    pytest.skip("the step of a plan is of JAX", allow_module_level=True)

from keras_performer.distribution.compile_step import (
    _training_step,
    planned_model,
)


def settings(**changes):
    return PlanSettings(
        **{
            "topology": "v5e:2x2",
            "seq_len": 7,
            "batch": 4,
            "num_layers": 2,
            "hidden_dim": 12,
            "intermediate_dim": 10,
            "num_heads": 2,
            "vocabulary_size": 11,
            "num_features": 16,
            "dtype": "float32",
            "dropout": 0.0,
            **changes,
        }
    )


def batch():
    generator = np.random.default_rng(0)
    token_ids = generator.integers(1, 11, (4, 7)).astype("int32")
    weights = generator.integers(0, 2, (4, 7)).astype("float32")
    return token_ids, token_ids[:, ::-1], weights


def train(model, steps):
    optimizer = keras.optimizers.Adam(1e-2)
    optimizer.build(model.trainable_variables)
    step = _training_step(model, optimizer)
    state = [
        [variable.value for variable in variables]
        for variables in (
            model.trainable_variables,
            model.non_trainable_variables,
            optimizer.variables,
        )
    ]
    losses = []
    for _ in range(steps):
        *state, loss = step(*state, *batch())
        losses.append(float(loss))
    return losses, state


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("attention", ["linear", "exact"])
def test_the_step_trains(attention, causal):
    model = planned_model(settings(attention=attention, causal=causal, dropout=0.1))
    losses, _ = train(model, 8)
    assert losses[0] == pytest.approx(np.log(11), abs=0.1)
    assert losses[-1] < losses[0] - 0.1


@pytest.mark.parametrize("causal", [False, True])
def test_blocks_computed_again_train_alike(causal):
    plain = planned_model(settings(causal=causal))
    again = planned_model(settings(causal=causal, remat=True))
    again.set_weights(plain.get_weights())
    losses, state = train(plain, 3)
    losses_again, state_again = train(again, 3)
    assert losses_again == pytest.approx(losses, rel=1e-5)
    for value, value_again in zip(state[0], state_again[0], strict=True):
        np.testing.assert_allclose(value, value_again, atol=1e-4)


def test_dropout_of_blocks_computed_again_differs_each_step():
    model = planned_model(settings(remat=True, dropout=0.5))
    _, state = train(model, 1)
    seeds = [v for v in model.non_trainable_variables if "seed" in v.path]
    after = [
        np.array(value)
        for variable, value in zip(model.non_trainable_variables, state[1], strict=True)
        if "seed" in variable.path
    ]
    assert len(seeds) > 4
    for before, value in zip(seeds, after, strict=True):
        assert not np.array_equal(before.numpy(), value), before.path


def test_exact_attention_has_no_random_features():
    exact = planned_model(settings(attention="exact"))
    linear = planned_model(settings())
    assert any("projection" in v.path for v in linear.variables)
    assert not any("projection" in v.path for v in exact.variables)
    assert len(exact.trainable_variables) == len(linear.trainable_variables)
