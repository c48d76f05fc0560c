"""What Keras tests of its multi-head attention, and what `FastAttention` makes of it.

`test_keras_own_tests.py` runs Keras's tests as they are installed; here is what they
mean, where no other file has it.
"""

import warnings

import keras
import numpy as np
import pytest
from layer_inputs import B, F, S, T, attention, draw, draw_mask, numpy
from tolerances import assert_close

from keras_performer.layers import FastAttention

testing = pytest.importorskip("keras.src.testing", reason="Keras's wheel carries none")

BASICS = [
    ({}, 8),
    ({"value_dim": 4, "use_bias": False, "dropout": 0.5}, 4),
    ({"use_gate": True}, 10),
    ({"value_dim": 4, "use_bias": False, "dropout": 0.5, "use_gate": True}, 5),
    ({"num_key_value_heads": 1}, 8),
]
HIGH = [
    ({"attention_axes": (2,)}, (3, 4), (3, 2), 8),
    ({"attention_axes": (2, 3)}, (5, 3, 4), (5, 3, 2), 8),
    ({"attention_axes": (1, 2), "use_gate": True}, (3, 4), (3, 2), 10),
]
CASES = [(arguments, (8,), (4,), count) for arguments, count in BASICS] + HIGH


@pytest.mark.parametrize(("arguments", "query", "value", "weights"), CASES, ids=str)
def test_the_layer_test_of_keras(arguments, query, value, weights):
    """Config, build, symbolic and eager call, mixed precision: as Keras runs them."""
    testing.TestCase().run_layer_test(
        FastAttention,
        init_kwargs={"num_heads": 2, "key_dim": 2, **arguments},
        input_shape={"query_shape": (2, *query, 16), "value_shape": (2, *value, 16)},
        expected_output_shape=(2, *query, 16),
        expected_num_trainable_weights=weights,
        expected_num_non_trainable_weights=1,  # the projection
        expected_num_seed_generators=int("dropout" in arguments),
        expected_num_losses=0,
        supports_masking=True,
        run_training_check=False,
    )


@pytest.mark.parametrize("use_gate", [False, True])
def test_negative_axes(use_gate):
    x = draw(2, 3, 8, 4)
    layers = [
        attention(attention_axes=axes, use_gate=use_gate, kernel_initializer=ones)
        for axes in (2, -2)
        for ones in [keras.initializers.RandomNormal(seed=1)]
    ]
    results = [layer(x, x, return_attention_scores=True) for layer in layers]
    for one, other in zip(*results, strict=True):
        assert np.array_equal(numpy(one), numpy(other))
    assert layers[0].attention_axes == layers[1].attention_axes == (2,)


@pytest.mark.parametrize(
    ("query", "value", "key", "output_shape"),
    [
        ((4, 8), (2, 8), None, None),
        ((4, 8), (2, 8), (2, 3), None),
        ((4, 8), (2, 8), None, (3, 4)),
        ((4, 8), (2, 8), (2, 3), (1, 5)),
        ((4, 2, 3, 8), (1, 1, 5, 8), (1, 1, 5, 2), None),
        ((4, 2, 3, 8), (1, 1, 5, 8), (1, 1, 5, 2), (3, 2)),
        ((4, 2, 3, 8), (4, 2, 3, 7), (4, 2, 3, 8), None),
    ],
)
def test_the_output_shape(query, value, key, output_shape):
    layer = attention(num_heads=2, num_key_value_heads=1, output_shape=output_shape)
    shapes = [None if sizes is None else (7, *sizes) for sizes in (query, value, key)]
    output = layer(*(None if shape is None else draw(*shape) for shape in shapes))
    assert layer.compute_output_shape(*shapes) == tuple(output.shape)
    lists = [None if shape is None else list(shape) for shape in shapes]
    assert layer.compute_output_shape(*lists) == tuple(output.shape)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((2, 4, 8), (2, 2, 7), (2,)), "`key` must have rank 3"),
        (((2, 4, 8), (2, 2, 8), (2, 1, 7)), "must be equal"),
        (((2, 4, 2, 3, 8), (2, 1, 1, 5, 8), (2, 1, 15, 5, 2)), "must be equal"),
    ],
)
def test_shapes_that_do_not_match(shapes, message):
    layer = attention()
    with pytest.raises(ValueError, match=message):
        layer.compute_output_shape(*shapes)
    with pytest.raises(ValueError, match=message):
        layer(*(np.ones(shape) for shape in shapes))


@pytest.mark.parametrize("use_causal_mask", [False, True])
@pytest.mark.parametrize("arguments", [{}, {"num_key_value_heads": 1}], ids=str)
def test_masks_hide_what_they_hide_in_keras(use_causal_mask, arguments):
    """Implicit masks of queries and keys of other lengths, and causality.

    The scores are zero where Keras's mask is; rows of masked queries are as they
    would be without that mask, as they pass on to nothing.
    """
    ids = np.array([[1, 2, 3, 0, 0], [3, 3, 1, 1, 2], [1, 0, 0, 0, 0]])
    query = keras.layers.Embedding(4, F, mask_zero=True)(ids)
    source = np.array([[5, 4, 0], [3, 0, 0], [2, 1, 1]])
    value = keras.layers.Embedding(6, F, mask_zero=True)(source)
    layer = attention(num_heads=2, **arguments)
    call = {"use_causal_mask": use_causal_mask, "return_attention_scores": True}
    output, scores = layer(query, value, **call)
    seen = np.repeat((source != 0)[:, None], ids.shape[1], axis=1)
    if use_causal_mask:
        seen &= np.tril(np.ones(seen.shape[1:], "bool"))
    assert np.array_equal(numpy(scores) > 0, np.repeat(seen[:, None], 2, axis=1))
    assert_close(np.sum(numpy(scores), axis=-1), np.ones((3, 2, 5)))
    query, value = (keras.ops.convert_to_tensor(numpy(x)) for x in (query, value))
    explicit, _ = layer(query, value, key_mask=source != 0, **call)
    assert np.array_equal(numpy(output), numpy(explicit))


@pytest.mark.parametrize("shape", [(T, T), (B, T, T), (B, 2, T, T)])
def test_a_mask_of_queries_by_keys_teaches(shape):
    mask = np.broadcast_to(np.tril(np.ones((T, T))), shape)
    x = draw(B, T, F)
    with pytest.raises(ValueError, match="use_causal_mask=True"):
        attention()(x, x, attention_mask=mask)


def test_no_warning_of_keras_masks():
    query, value = draw(B, T, F), draw(B, S, F)
    for x in (query, value):
        x[:, -2:] = 0
    query, value = (keras.layers.Masking()(x) for x in (query, value))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        attention(use_gate=True)(query, value)


@pytest.mark.parametrize(("dropout", "scores"), [(0, True), (0.1, False), (0.1, True)])
def test_causality_whatever_else_is_asked_for(dropout, scores):
    layer = attention(dropout=dropout)
    x = draw(B, T, F)
    result = layer(x, x, use_causal_mask=True, return_attention_scores=scores)
    if scores:
        later = np.triu(np.ones((T, T), "bool"), k=1)
        assert not np.any(numpy(result[1])[..., later])
        result = result[0]
    row = layer(x[:, :5], x[:, :5])  # the fifth query sees the first five keys
    assert_close(numpy(result)[:, 4], numpy(row)[:, 4])


def test_causality_and_a_key_mask():
    x, mask = draw(B, T, F), draw_mask(T)
    layer = attention()
    output = layer(x, x, attention_mask=mask[:, None], use_causal_mask=True)
    row = layer(x[:, :5], x[:, :5], value_mask=mask[:, :5])
    assert_close(numpy(output)[:, 4], numpy(row)[:, 4])


def test_identity_projections_attend_by_the_softmax():
    """Queries and keys that are unit vectors: each attends most to its own."""
    size, heads = 8, 8
    eye = np.eye(size, dtype="float32")
    layer = FastAttention(heads, size, num_features=4096, seed=0, dtype="float16")
    layer.build((1, size, size), (1, size, size))
    for dense in (layer.query_dense, layer.key_dense, layer.value_dense):
        dense.kernel.assign(np.repeat(eye[:, None], heads, axis=1))
    layer.output_dense.kernel.assign(np.repeat(eye[None], heads, axis=0))
    value = np.arange(size * size).reshape(1, size, size) / 100
    output, scores = layer(eye[None], value, eye[None], return_attention_scores=True)
    expected = np.exp(eye / np.sqrt(size))
    expected /= np.sum(expected, axis=-1, keepdims=True)
    assert np.allclose(numpy(scores), expected[None, None], atol=1e-2)
    # Each head has the same output, of which the last projection takes the sum.
    assert np.allclose(numpy(output), heads * (expected @ value), rtol=1e-2)


@pytest.mark.parametrize("shape", [(1, 2, 3), (2, 3, 5)])
def test_scores_of_a_symbolic_call(shape):
    layer = FastAttention(num_heads=4, key_dim=2)
    call = {"return_attention_scores": True}
    symbolic = layer(*(keras.Input(batch_shape=shape) for _ in range(2)), **call)
    actual = layer(draw(*shape), draw(*shape), **call)
    assert [x.shape for x in symbolic] == [tuple(x.shape) for x in actual]


def test_scores_of_a_symbolic_call_have_both_lengths():
    layer = FastAttention(4, 8, num_key_value_heads=2)
    inputs = [keras.Input((length, 32)) for length in (10, 15)]
    output, scores = layer(*inputs, return_attention_scores=True)
    assert (output.shape, scores.shape) == ((None, 10, 32), (None, 4, 10, 15))
    assert layer(*inputs).shape == (None, 10, 32)


@pytest.mark.parametrize("window", [0, -3, 3])
def test_a_sliding_window_is_refused(window):
    with pytest.raises(ValueError, match=f"sliding_window={window}"):
        FastAttention(2, 4, sliding_window=window)


@pytest.mark.parametrize("size", [0, -2, 1.5])
@pytest.mark.parametrize("name", ["num_heads", "key_dim", "value_dim"])
def test_sizes_that_are_none_are_refused(name, size):
    with pytest.raises(ValueError, match=f"`{name}` must be a positive integer"):
        FastAttention(**{"num_heads": 4, "key_dim": 4, name: size})
