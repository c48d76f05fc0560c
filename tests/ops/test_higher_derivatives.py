"""Derivatives of gradients: gradient penalties and products with the Hessian."""

import itertools

import numpy as np
import pytest
from attention_inputs import draw_map, split_trainable
from gradients import (
    BACKEND,
    hessian_vector_products,
    to_tensor,
    value_and_gradients,
)
from keras import ops
from tolerances import EXACT, assert_close, relative_rmse

from keras_performer.layers import PerformerEncoder
from keras_performer.ops import initial_state, prefill, rotary, step
from keras_performer.ops.bidirectional import bidirectional_attention
from keras_performer.ops.causal import causal_attention
from keras_performer.ops.packed import packed_attention
from keras_performer.ops.windowed import windowed_attention

T, HEADS, KEY_HEADS, D, DV, M = 5, 2, 1, 2, 2, 3
SEGMENTS = np.array([[0, 0, 0, 1, 1]])
MASK = np.array([[True, True, False, True, True]])
INNER = {"chunk_size": 2, "outer_chunk_size": 4}
STEP = 1e-6
TOLERANCE = 1e-6


def stream(query, key, value, feature_map, parameters, window_size=None):
    """All positions but two at once, then one by one."""
    size = feature_map.size(D, parameters)
    window = {"head_dim": D, "window_size": window_size} if window_size else {}
    state = initial_state(1, KEY_HEADS, size, DV, "float64", **window)
    inputs = (query, key, value)
    parts = [slice(0, T - 2), slice(T - 2, T - 1), slice(T - 1, T)]
    outputs = []
    for i, part in enumerate(parts):
        cut = [x[:, part] for x in inputs]
        if i == 0:
            output, state = prefill(state, *cut, feature_map, parameters, **INNER)
        else:
            output, state = step(state, *cut, feature_map, parameters)
        outputs.append(output)
    return ops.concatenate(outputs, axis=1)


def rotated(query, key, value, *rest):
    positions = np.arange(T)
    return causal_attention(
        rotary(query, positions), rotary(key, positions), value, *rest
    )


def packed(*inputs, causal):
    return packed_attention(*inputs, SEGMENTS, MASK, causal=causal, **INNER)


def windowed(*inputs, causal):
    return windowed_attention(*inputs, 2, causal=causal, **INNER)


FORMS = {
    "bidirectional": lambda *x: bidirectional_attention(*x, MASK, chunk_size=2),
    "causal": lambda *x: causal_attention(*x, MASK, **INNER),
    "packed": lambda *x: packed(*x, causal=False),
    "packed causal": lambda *x: packed(*x, causal=True),
    "windowed": lambda *x: windowed(*x, causal=False),
    "windowed causal": lambda *x: windowed(*x, causal=True),
    "stream": stream,
    "windowed stream": lambda *x: stream(*x, window_size=2),
    "rotary": rotated,
}
MAPS = [
    "softmax",
    "hyperbolic",
    "favor_sharp",
    "learned",
    "relu",
    "trigonometric",
    "hybrid",
]
# Differences of sines in float32 are noise.
SINES_OF_FLOAT32 = ("trigonometric", "hybrid") if BACKEND == "jax" else ()
QUICK = [
    *((form, "softmax") for form in FORMS),
    ("bidirectional", "hybrid"),
    ("bidirectional", "learned"),
    ("causal", "hyperbolic"),
    ("causal", "relu"),
    ("packed causal", "favor_sharp"),
    ("stream", "trigonometric"),
]
if BACKEND == "jax":  # which compiles each for seconds
    QUICK = [
        *((form, "softmax") for form in ("bidirectional", "packed causal", "stream")),
        ("causal", "relu"),
        ("windowed", "hyperbolic"),
    ]


def problem(form, name):
    """A function of arrays, where it is taken, weights of its value, and directions."""
    feature_map, parameters = draw_map(
        name, num_features=M, head_dim=D, heads=KEY_HEADS
    )
    trained, fixed = split_trainable(feature_map, parameters)
    fixed = {name: to_tensor(x) for name, x in fixed.items()}
    generator = np.random.default_rng(1)
    shapes = [(1, T, HEADS, D), (1, T, KEY_HEADS, D), (1, T, KEY_HEADS, DV)]
    arguments = [generator.standard_normal(shape) for shape in shapes]
    arguments += trained.values()

    def function(query, key, value, *weights):
        parameters = {**fixed, **dict(zip(trained, weights, strict=True))}
        return FORMS[form](query, key, value, feature_map, parameters)

    upstream = generator.standard_normal((1, T, HEADS, DV))
    directions = [generator.standard_normal(x.shape) for x in arguments]
    return function, arguments, upstream, directions


def assert_products(function, arguments, upstream, directions):
    """Compares products with the Hessian with central differences of the gradients."""
    before, after = (
        value_and_gradients(
            function,
            [x + s * STEP * d for x, d in zip(arguments, directions, strict=True)],
            upstream,
        )[1]
        for s in (-1, 1)
    )
    products = hessian_vector_products(function, arguments, upstream, directions)
    for a, b, product in zip(after, before, products, strict=True):
        assert np.any(product != 0)
        assert relative_rmse(product, (a - b) / (2 * STEP)) < TOLERANCE


@pytest.mark.parametrize(
    ("form", "name"),
    [
        pytest.param(*pair, marks=() if pair in QUICK else pytest.mark.slow)
        for pair in itertools.product(FORMS, MAPS)
        if pair[1] not in SINES_OF_FLOAT32
    ],
)
def test_second_derivatives_are_differences_of_gradients(form, name):
    assert_products(*problem(form, name))


@pytest.mark.skipif(BACKEND != "tensorflow", reason="Keras normalizes in float32")
def test_second_derivatives_of_a_block_with_remat():
    """Of its weights too: a gradient penalty is trained by them."""
    block = PerformerEncoder(
        4,
        2,
        activation="gelu",
        normalization="rms_norm",  # TensorFlow's of layer normalization are wrong
        rotary_base=10_000.0,
        remat=True,
        seed=0,
        dtype=EXACT,
    )
    block.build((1, T, 2 * D))
    others = [variable.value for variable in block.non_trainable_variables]
    generator = np.random.default_rng(1)

    def function(x, *weights):
        return block.stateless_call(weights, others, x, training=True)[0]

    arguments = [generator.standard_normal((1, T, 2 * D))]
    for variable in block.trainable_variables:
        arguments.append(generator.standard_normal(variable.shape))
    directions = [generator.standard_normal(x.shape) for x in arguments]
    assert_products(function, arguments, arguments[0], directions)


@pytest.mark.backends
@pytest.mark.skipif(BACKEND != "jax", reason="forward mode of JAX")
@pytest.mark.parametrize(
    "form", ["causal", *(pytest.param(f, marks=pytest.mark.slow) for f in FORMS)]
)
def test_forward_mode(form):
    import jax

    function, arguments, upstream, directions = problem(form, "softmax")
    arguments, directions = tuple(arguments), tuple(directions)

    @jax.jit
    def in_forward_mode(arguments, directions):
        def gradients(*arguments):
            return jax.vjp(function, *arguments)[1](upstream)

        _, tangent = jax.jvp(function, arguments, directions)
        return tangent, *jax.jvp(gradients, arguments, directions)

    tangent, gradients, products = in_forward_mode(arguments, directions)
    slope = sum(np.sum(d * g) for d, g in zip(directions, gradients, strict=True))
    assert_close(np.sum(upstream * tangent), slope, EXACT)
    expected = hessian_vector_products(function, arguments, upstream, directions)
    for actual, product in zip(products, expected, strict=True):
        assert_close(actual, product, EXACT)
