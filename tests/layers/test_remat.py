"""`remat`: the backward pass recomputes a block, exactly."""

import keras
import numpy as np
import pytest
from block_inputs import BLOCKS, F, assert_same, inputs_of, make, with_gradients
from gradients import to_tensor
from layer_inputs import B, T, draw, numpy
from tolerances import assert_close

from keras_performer.layers import PerformerDecoder, PerformerEncoder


@BLOCKS
@pytest.mark.parametrize("chunk", [None, 5])
def test_outputs_and_gradients_are_those_without(block_type, chunk):
    options = {"activation": "gelu", "feedforward_chunk": chunk}
    plain, again = (make(block_type, remat=remat, **options) for remat in (False, True))
    assert_same(
        with_gradients(again, training=True), with_gradients(plain, training=True)
    )


@BLOCKS
def test_dropout_is_the_same_in_both_passes(block_type):
    plain, again = (make(block_type, remat=r, dropout=0.5) for r in (False, True))
    assert_same(
        with_gradients(again, training=True), with_gradients(plain, training=True)
    )
    inputs = inputs_of(block_type)
    for _ in range(2):  # the states of the seeds change, once a call
        first, second = (numpy(b(*inputs, training=True)) for b in (plain, again))
        assert_close(second, first)
    assert not np.allclose(numpy(plain(*inputs, training=True)), first)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("block_type", "jit_compile"),
    [
        (PerformerEncoder, False),
        pytest.param(PerformerEncoder, True, marks=pytest.mark.slow),
        pytest.param(PerformerDecoder, False, marks=pytest.mark.slow),
        pytest.param(PerformerDecoder, True, marks=pytest.mark.slow),
    ],
)
def test_a_block_with_remat_trains_alike(block_type, jit_compile):
    """In a compiled step, where weights change: each gradient is of those before."""
    losses = []
    for remat in (False, True):
        block = make(block_type, remat=remat, dropout=0.3, feedforward_chunk=4)
        symbols = [keras.Input(x.shape[1:]) for x in inputs_of(block_type)]
        model = keras.Model(symbols, block(*symbols))
        model.compile(keras.optimizers.SGD(0.3), "mse", jit_compile=jit_compile)
        history = model.fit(
            inputs_of(block_type),
            draw(B, T, F, seed=3),
            epochs=12,
            shuffle=False,
            verbose=0,
        )
        losses.append(history.history["loss"])
    assert losses[0][-1] < 0.7 * losses[0][0]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-3)


def test_a_map_that_adapts_gathers_once():
    states = []
    for remat in (False, True):
        block = make(feature_map="favor_sharp", remat=remat, num_features=None)
        with_gradients(block, training=True)
        block(to_tensor(draw(B, T, F)), training=True)
        states.append(
            {
                w.path: numpy(w)
                for w in block.non_trainable_weights
                if "seed" not in w.path
            }
        )
    assert any("moment" in path or "mean" in path for path in states[0])
    for path, value in states[0].items():
        assert_close(states[1][path], value)
