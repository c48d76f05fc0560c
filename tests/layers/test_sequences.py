"""Positions, packed sequences and windows: each sequence gets what it alone would."""

import keras
import numpy as np
import pytest
from layer_inputs import B, F, H, S, T, attention, draw, numpy, weights
from tolerances import assert_close

from keras_performer.layers import FastAttention
from keras_performer.ops import rotary

ROTARY = {"rotary_base": 100, "key_dim": 4}
WINDOW = {"exact_window": 3}
BOTH = {**ROTARY, **WINDOW, "num_key_value_heads": 1}
GATED = {"forget_gate": True}
FIRST = 5  # length of the first of two packed sequences
IDS = np.array([[7] * FIRST + [3] * (T - FIRST)] * B)


def built(**arguments):
    layer = attention(**arguments)
    layer.build((None, None, F), (None, None, F))
    return layer


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("arguments", [{}, ROTARY, WINDOW, BOTH, GATED], ids=str)
def test_packed_sequences_are_as_if_alone(arguments, causal):
    layer, x = built(**arguments), draw(B, T, F)
    packed = numpy(layer(x, x, segment_ids=IDS, use_causal_mask=causal))
    for part in (x[:, :FIRST], x[:, FIRST:]):
        alone = numpy(layer(part, part, use_causal_mask=causal))
        assert_close(packed[:, : alone.shape[1]], alone)
        packed = packed[:, alone.shape[1] :]


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("arguments", [ROTARY, WINDOW, BOTH, GATED], ids=str)
@pytest.mark.parametrize("side", ["left", "right"])
def test_padded_sequences_are_as_if_alone(side, arguments, causal):
    layer, x = built(**arguments), draw(B, T, F)
    lengths = np.array([[4], [T]])
    positions = np.arange(T)
    mask = positions >= T - lengths if side == "left" else positions < lengths
    masks = {"query_mask": mask, "value_mask": mask}
    padded = numpy(layer(x, x, use_causal_mask=causal, **masks))
    for row in range(B):
        alone = x[row : row + 1, mask[row]]
        expected = numpy(layer(alone, alone, use_causal_mask=causal))
        assert_close(padded[row, mask[row]], expected[0])


def test_interior_padding_takes_no_position():
    layer, x = built(**ROTARY), draw(B, T, F)
    mask = np.ones((B, T), bool)
    mask[:, 3:7] = False
    padded = numpy(layer(x, x, use_causal_mask=True, value_mask=mask))
    alone = x[:, mask[0]]
    expected = numpy(layer(alone, alone, use_causal_mask=True))
    assert_close(padded[:, mask[0]], expected)


@pytest.mark.cases(f"{WINDOW}-True-False", f"{GATED}-True-True")
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("arguments", [{}, ROTARY, WINDOW, BOTH, GATED], ids=str)
def test_scores_are_the_matrix_of_the_output(arguments, packed, causal):
    layer, x = built(use_bias=False, **arguments), draw(B, T, F)
    options = {"segment_ids": IDS} if packed else {}
    output, scores = layer(
        x, x, use_causal_mask=causal, return_attention_scores=True, **options
    )
    value, projection = (
        numpy(weights(layer)[f"{name}/kernel"])
        for name in ("value", "attention_output")
    )
    values = np.einsum("bsf,fhd->bshd", x, value)
    values = np.repeat(values, H // values.shape[2], axis=2)
    heads = np.einsum("bhts,bshd->bthd", numpy(scores), values)
    assert_close(numpy(output), np.einsum("bthd,hdf->btf", heads, projection))


def test_rotation_is_that_of_the_heads():
    """With one feature a component, a map that keeps them shows what it was given."""
    seen = []
    layer, x = built(**ROTARY), draw(B, T, F)
    layer.probe = lambda layer, queries, keys, *_: seen.append((queries, keys))
    layer(x, x, use_causal_mask=True)
    for given, dense in zip(seen[0], (layer.query_dense, layer.key_dense), strict=True):
        expected = rotary(dense(x), np.arange(T), 100)
        assert_close(numpy(given), numpy(expected))


def test_positions_may_be_given():
    layer, x = built(**ROTARY), draw(B, T, F)
    counted = numpy(layer(x, x))
    assert_close(numpy(layer(x, x, positions=np.arange(T))), counted)
    of_rows = np.stack([np.arange(T), 5 + np.arange(T)])
    shifted = numpy(layer(x, x, positions=of_rows))
    assert_close(shifted[0], counted[0])
    assert np.max(np.abs(shifted[1] - counted[1])) > 1e-3


def test_only_distances_matter_to_an_exact_kernel():
    layer, x = built(**ROTARY, exact_window=T), draw(B, T, F)
    first, last = (
        numpy(layer(x, x, positions=start + np.arange(T))) for start in (0, 999)
    )
    assert_close(last, first, "bfloat16")  # angles are float32
    assert np.max(np.abs(first - numpy(layer(x, x, positions=2 * np.arange(T))))) > 1e-2


def test_a_window_over_all_is_multi_head_attention():
    x = draw(B, T, F)
    exact = keras.layers.MultiHeadAttention(H, 4)
    layer = FastAttention(H, 4, exact_window=T)
    expected = [exact(x, x, use_causal_mask=causal) for causal in (False, True)]
    layer.build(x.shape, x.shape)
    for source, target in zip(
        exact.weights,
        (weights(layer)[w.path.split("/", 1)[1]] for w in exact.weights),
        strict=True,
    ):
        target.assign(source)
    for causal in (False, True):
        actual = layer(x, x, use_causal_mask=causal)
        assert_close(numpy(actual), numpy(expected[causal]))


def test_the_balance_of_a_window_is_trained():
    layer = built(**WINDOW)
    names = {path for path, w in weights(layer).items() if w.trainable}
    assert "window_log_weight" in names
    x = draw(B, T, F)
    before = numpy(layer(x, x))
    layer._window_log_weight.assign([3.0] * H)
    assert np.max(np.abs(numpy(layer(x, x)) - before)) > 1e-3


@pytest.mark.cases(str(BOTH))
@pytest.mark.parametrize("arguments", [ROTARY, BOTH], ids=str)
def test_unknown_lengths(arguments):
    if keras.backend.backend() != "tensorflow":
        pytest.skip("unknown lengths are TensorFlow's")
    import tensorflow as tf

    layer, x = built(**arguments), draw(B, T, F)
    mask = np.arange(T) >= np.array([[0], [4]])
    call = {"use_causal_mask": True, "segment_ids": IDS, "value_mask": mask}
    eager = numpy(layer(x, x, **call))
    signature = [
        tf.TensorSpec((None, None, F), "float32"),
        tf.TensorSpec((None, None), "int64"),
        tf.TensorSpec((None, None), "bool"),
    ]

    @tf.function(input_signature=signature)
    def graph(x, ids, mask):
        return layer(x, x, use_causal_mask=True, segment_ids=ids, value_mask=mask)

    assert_close(numpy(graph(x, IDS, mask)), eager)


@pytest.mark.parametrize(
    ("arguments", "call", "message"),
    [
        ({}, {"positions": np.arange(T)}, "`positions` are for rotary"),
        (ROTARY, {"positions": np.arange(T - 1)}, "`positions` must have the shape"),
        ({}, {"segment_ids": IDS[:, :-1]}, "`segment_ids` must have the shape"),
        ({}, {"segment_ids": IDS.astype("float32")}, "`segment_ids` must be of int"),
        ({}, {"segment_ids": IDS > 0}, "`segment_ids` must be of integers"),
        (ROTARY, {"positions": np.arange(T) / 2}, "`positions` must be of integers"),
        ({}, {"segment_ids": IDS[0]}, "`segment_ids` must have the shape"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, call, message):
    layer, x = built(**arguments), draw(B, T, F)
    with pytest.raises(ValueError, match=message):
        layer(x, x, **call)
    with pytest.raises(ValueError, match=message):
        layer(keras.Input((T, F)), keras.Input((T, F)), **call)


@pytest.mark.parametrize("call", [{"segment_ids": IDS}, {"positions": np.arange(T)}])
def test_sequences_of_queries_and_keys_are_one(call):
    layer = built(**ROTARY)
    with pytest.raises(ValueError, match="for self-attention"):
        layer(draw(B, T, F), draw(B, S, F), **call)


def test_a_window_needs_a_key_for_each_query():
    with pytest.raises(ValueError, match="a key for each query"):
        built(**WINDOW)(draw(B, T, F), draw(B, S, F))


def test_symbolic_segments():
    x, ids = keras.Input((None, F)), keras.Input((None,), dtype="int32")
    layer = built(**BOTH)
    model = keras.Model([x, ids], layer(x, x, segment_ids=ids, use_causal_mask=True))
    data = draw(B, T, F)
    expected = layer(data, data, segment_ids=IDS, use_causal_mask=True)
    assert_close(numpy(model([data, IDS])), numpy(expected))
