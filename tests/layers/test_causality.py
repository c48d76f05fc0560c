"""Nothing leaks from the future, whatever else a causal call is asked for."""

import keras
import numpy as np
import pytest
from compilers import wrappers
from layer_inputs import B, F, T, attention, draw, numpy

pytestmark = pytest.mark.backends

CUT = 6
FACTORS = [1.0, 30.0, 1000.0]


def futures():
    """Inputs that agree before `CUT`, and differ from there by up to a thousandfold."""
    first, other = draw(B, T, F), draw(B, T, F, seed=1)
    for factor in FACTORS:
        x = first.copy()
        x[:, CUT:] = factor * other[:, CUT:]
        yield x


def pasts(call):
    """Results before `CUT`, of one call for each future: [(output, scores), ...]."""
    results = []
    for x in futures():
        keras.utils.set_random_seed(3)  # dropout draws the same for each
        results.append([numpy(y) for y in call(x)])
    assert np.any(results[0][0][:, CUT:] != results[-1][0][:, CUT:])
    return [
        [y[:, :CUT] if y.ndim == 3 else y[:, :, :CUT] for y in outputs]
        for outputs in results
    ]


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("scores", [False, True])
@pytest.mark.parametrize(
    "arguments",
    [
        {"dropout": 0.5},
        {"use_gate": True},
        {"feature_map": "favor_sharp"},
        {"feature_map": "relu", "num_features": None},
        {"num_key_value_heads": 1},
        {"forget_gate": True, "normalize_heads": True},
    ],
    ids=str,
)
def test_the_past_is_bit_equal(arguments, scores, compiled):
    def layer_call(x):
        # A layer for each input: dropout's state and gathered moments start afresh.
        layer = attention(**arguments)
        layer.build(x.shape, x.shape)

        def call(x):
            training = arguments.get("dropout", 0) > 0
            result = layer(
                x,
                x,
                use_causal_mask=True,
                return_attention_scores=scores,
                training=training,
            )
            return result if scores else (result,)

        if not compiled:
            return call(x)
        if keras.backend.backend() == "jax":
            return stateless(layer, call)(x)
        return wrappers()[0](call)(x)

    first, *others = pasts(layer_call)
    for other in others:
        for a, b in zip(first, other, strict=True):
            assert np.array_equal(a, b)


def stateless(layer, call):
    """Compiles a call of a layer on JAX, where state goes in by hand."""
    jit = wrappers()[0]
    variables = [*layer.variables]

    @jit
    def compiled(values, x):
        mapping = zip(variables, values, strict=True)
        with keras.StatelessScope(state_mapping=mapping):
            return call(x)

    return lambda x: compiled([v.value for v in variables], x)


def test_a_leak_is_seen():
    def leaking(x):
        return (x - x.mean(axis=1, keepdims=True),)

    first, *others = pasts(leaking)
    assert all(np.any(first[0] != other[0]) for other in others)
