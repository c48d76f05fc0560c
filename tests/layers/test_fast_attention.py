"""`FastAttention` in place of `keras.layers.MultiHeadAttention`."""

import inspect

import keras
import numpy as np
import pytest
from layer_inputs import (
    DV,
    FK,
    FV,
    B,
    D,
    F,
    H,
    S,
    T,
    attention,
    copy_weights,
    draw,
    draw_inputs,
    draw_mask,
    numpy,
    weights,
)
from tolerances import EXACT, assert_close, relative_rmse

from keras_performer import feature_maps
from keras_performer.layers import FastAttention
from keras_performer.layers.fast_attention import default_num_features
from keras_performer.ops import kernel_attention, projections


def parameters(function):
    return dict(inspect.signature(function).parameters)


# Arguments that Keras's layer got after 3.12, the oldest that we take.
NEWER = {"sliding_window", "use_gate"}
ABSENT = NEWER - set(parameters(keras.layers.MultiHeadAttention.__init__))


@pytest.mark.parametrize("method", ["__init__", "call", "build"])
def test_the_signature_is_that_of_keras(method):
    theirs = parameters(getattr(keras.layers.MultiHeadAttention, method))
    ours = parameters(getattr(FastAttention, method))
    assert [name for name in ours if name in theirs] == list(theirs)
    for name, parameter in theirs.items():
        assert ours[name].kind == parameter.kind, name
        # A wrapper that builds with one shape, as `TimeDistributed`, is told why not.
        if (method, name) != ("build", "value_shape"):
            assert ours[name].default == parameter.default, name
    for name in set(ours) - set(theirs) - ABSENT:
        assert ours[name].kind == inspect.Parameter.KEYWORD_ONLY, name


def test_what_is_ours_is_keyword_only_and_has_defaults():
    ours = set(parameters(FastAttention.__init__))
    ours -= set(parameters(keras.layers.MultiHeadAttention.__init__)) | ABSENT
    expected = {"feature_map", "num_features", "num_key_value_heads", "projection"}
    assert ours == expected | {"rotary_base", "exact_window"}
    layer = FastAttention(H, D)
    assert layer.feature_map == feature_maps.Softmax()
    assert layer.num_features == default_num_features(D)


VARIANTS = [
    {},
    {"value_dim": DV},
    {"use_bias": False},
    {"use_gate": True, "value_dim": DV},
    {"output_shape": 11},
    {"output_shape": (11, 3)},
]
VARIANTS = [variant for variant in VARIANTS if not ABSENT & set(variant)]


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_the_trainable_weights_are_those_of_keras(variant):
    theirs = keras.layers.MultiHeadAttention(H, D, name="attention", **variant)
    ours = FastAttention(H, D, name="attention", **variant)
    for layer in (theirs, ours):
        layer.build((B, T, F), (B, S, FV), (B, S, FK))
    expected = [(w.path, w.shape, w.dtype) for w in theirs.trainable_weights]
    # In Keras's order too: weights are sometimes set as a list.
    assert [(w.path, w.shape, w.dtype) for w in ours.trainable_weights] == expected
    (projection,) = ours.non_trainable_weights
    assert projection.path == "attention/projection"
    assert projection.shape == (ours.num_features, D)
    for name in ("query_dense", "key_dense", "value_dense", "output_dense"):
        assert isinstance(getattr(ours, name), type(getattr(theirs, name)))


@pytest.mark.cases(
    f"softmax-{VARIANTS[3]}-False", f"relu-{VARIANTS[-1]}-True"
)  # with a gate, and with an output of two axes
@pytest.mark.parametrize("use_causal_mask", [False, True])
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
@pytest.mark.parametrize("feature_map", ["softmax", "relu"])
def test_the_output_by_the_formula(variant, use_causal_mask, feature_map):
    """Projections, the reference's attention, gate and output projection, in NumPy."""
    layer = attention(
        **variant,
        feature_map=feature_map,
        num_features=None if feature_map == "relu" else 19,
        dtype=EXACT,
    )
    source = T if use_causal_mask else S
    query, value, key = draw_inputs(EXACT, source)
    mask = draw_mask(source)
    output = layer(query, value, key, value_mask=mask, use_causal_mask=use_causal_mask)

    w = {path: numpy(weight) for path, weight in weights(layer).items()}

    def project(name, x):
        return np.einsum("btf,fhd->bthd", x, w[f"{name}/kernel"]) + w.get(
            f"{name}/bias", 0
        )

    seen = mask[:, None, None]
    if use_causal_mask:
        seen = seen & np.tril(np.ones((T, T), "bool"))
    tensors = {k: x.astype(EXACT) for k, x in w.items() if k == "projection"}
    heads = kernel_attention(
        project("query", query),
        project("key", key),
        project("value", value),
        layer.feature_map,
        tensors,
        seen,
    )
    heads = numpy(heads)
    if variant.get("use_gate"):
        heads = heads / (1 + np.exp(-project("gate", query)))
    kernel = w["attention_output/kernel"]
    expected = np.tensordot(heads, kernel, 2) + w.get("attention_output/bias", 0)
    assert_close(numpy(output), expected, EXACT)


@pytest.mark.parametrize("use_causal_mask", [False, True])
def test_many_features_come_close_to_keras(use_causal_mask):
    x = 0.5 * draw(B, T, F)
    mask = draw_mask(T)
    theirs = keras.layers.MultiHeadAttention(H, D)
    arguments = {"value_mask": mask, "use_causal_mask": use_causal_mask}
    exact = numpy(theirs(x, x, **arguments))

    def error(num_features):
        ours = attention(num_features=num_features)
        ours.build(x.shape, x.shape)
        copy_weights(theirs, ours)
        errors = []
        for seed in range(8):
            ours.redraw_projection(seed)
            errors.append(relative_rmse(numpy(ours(x, x, **arguments)), exact))
        return np.mean(errors)

    few, many = error(32), error(3200)
    # A hundred times the features: a tenth of the error.
    assert many < few / 5
    assert many < 0.05


def test_the_key_defaults_to_the_value():
    layer = attention()
    query, value, _ = draw_inputs()
    assert np.array_equal(numpy(layer(query, value)), numpy(layer(query, value, value)))


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
@pytest.mark.parametrize("return_attention_scores", [False, True])
def test_shapes_are_known_beforehand(variant, return_attention_scores):
    layer = attention(**variant)
    inputs = draw_inputs()
    arguments = {"return_attention_scores": return_attention_scores}
    actual = layer(*inputs, **arguments)
    shapes = [x.shape for x in inputs]
    main = actual[0] if return_attention_scores else actual
    assert layer.compute_output_shape(*shapes) == tuple(main.shape)
    symbolic = layer(*(keras.KerasTensor(s) for s in shapes), **arguments)
    pairs = zip(keras.tree.flatten(symbolic), keras.tree.flatten(actual), strict=True)
    for spec, tensor in pairs:
        assert spec.shape == tuple(tensor.shape)
        assert spec.dtype == keras.backend.standardize_dtype(tensor.dtype)


@pytest.mark.parametrize("use_causal_mask", [False, True])
def test_a_functional_model_of_unknown_length(use_causal_mask):
    inputs = keras.Input((None, F))
    layer = attention()
    outputs = layer(inputs, inputs, use_causal_mask=use_causal_mask)
    assert outputs.shape == (None, None, F)
    model = keras.Model(inputs, outputs)
    for length in (T, 700):
        x = draw(B, length, F)
        expected = layer(x, x, use_causal_mask=use_causal_mask)
        actual = model.predict(x, verbose=0)
        assert_close(actual, numpy(expected))


def test_the_seed_draws_the_projection():
    def projection(seed):
        layer = attention(seed=seed)
        layer.build((B, T, F), (B, T, F))
        return numpy(weights(layer)["projection"])

    assert np.array_equal(projection(3), projection(3))
    assert not np.any(projection(3) == projection(4))
    assert not np.any(projection(None) == projection(None))
    assert np.array_equal(projection(3), projections.orthogonal(3, 19, D))
    draws = []
    for _ in range(2):
        keras.utils.set_random_seed(5)
        draws.append(projection(None))
    assert np.array_equal(*draws)


def test_redrawing():
    layer = attention()
    with pytest.raises(ValueError, match="has no projection yet"):
        layer.redraw_projection(1)
    x = draw(B, T, F)
    before = numpy(layer(x, x))
    assert np.array_equal(before, numpy(layer(x, x)))  # a call never redraws
    layer.redraw_projection((3, 5))
    projection = numpy(weights(layer)["projection"])
    assert np.array_equal(projection, projections.orthogonal((3, 5), 19, D))
    assert not np.array_equal(before, numpy(layer(x, x)))
    layer.redraw_projection(0)
    assert np.array_equal(before, numpy(layer(x, x)))


def test_redrawing_where_nothing_is_drawn():
    layer = attention(feature_map="relu", num_features=None)
    layer.build((B, T, F), (B, T, F))
    assert not layer.redraws
    with pytest.raises(ValueError, match="no random projection"):
        layer.redraw_projection(1)
    assert layer.num_features is None
    assert layer.non_trainable_weights == []


@pytest.mark.parametrize("projection", ["gaussian", "regularized_orthogonal"])
def test_the_projection_argument_chooses_the_draw(projection):
    layer = attention(projection=projection)
    layer.build((B, T, F), (B, T, F))
    expected = projections.get(projection)(0, 19, D)
    assert np.array_equal(numpy(weights(layer)["projection"]), expected)


def test_batch_neighbours_and_padding_have_no_influence():
    layer = attention()
    x = draw(B, T, F)
    mask = np.arange(T) < np.array([[T], [8]])
    before = numpy(layer(x, x, value_mask=mask))
    alone = numpy(layer(x[1:, :8], x[1:, :8]))
    assert_close(before[1:, :8], alone)
    x[0] *= 100
    x[1, 8:] = 1e20
    after = numpy(layer(x, x, value_mask=mask))
    assert np.array_equal(before[1, :8], after[1, :8])


def test_causal_outputs_do_not_depend_on_what_follows():
    layer = attention()
    x = draw(B, T, F)
    before = numpy(layer(x, x, use_causal_mask=True))
    x[:, 6:] *= 1000
    after = numpy(layer(x, x, use_causal_mask=True))
    assert np.array_equal(before[:, :6], after[:, :6])
    assert not np.array_equal(before[:, 6:], after[:, 6:])


@pytest.mark.parametrize(
    ("head_dim", "expected"), [(1, 64), (8, 64), (32, 128), (64, 256), (128, 640)]
)
def test_default_number_of_features(head_dim, expected):
    assert default_num_features(head_dim) == expected
    assert FastAttention(1, head_dim).num_features == expected


@pytest.mark.parametrize(
    "arguments",
    [
        {"num_heads": 0},
        {"num_heads": True},
        {"key_dim": -1},
        {"key_dim": 2.5},
        {"value_dim": 0},
        {"num_features": 0},
        {"output_shape": "16"},
        {"output_shape": (4, 0)},
        {"output_shape": ()},
        {"rotary_base": 1},
        {"rotary_base": 10_000, "key_dim": 5},
        {"exact_window": 0},
        {"exact_window": 2.5},
        {"sliding_window": 64},
        {"flash_attention": True},
        {"num_features": 64, "feature_map": "relu"},
        {"feature_map": "sofmax"},
        {"projection": "orthogonale"},
    ],
    ids=str,
)
def test_what_is_refused_is_named(arguments):
    name, value = next(iter(arguments.items()))
    with pytest.raises(ValueError, match=name.split("_")[0]) as caught:
        FastAttention(**{"num_heads": H, "key_dim": D, **arguments})
    message = str(caught.value)
    assert name in message or name.replace("_", " ") in message
    assert str(value) in message


@pytest.mark.parametrize("dropout", [-0.1, 1.5])
def test_a_dropout_that_is_no_rate_is_refused(dropout):
    with pytest.raises(ValueError, match="`dropout`"):
        FastAttention(H, D, dropout=dropout)


@pytest.mark.parametrize(
    "value",
    [{"attention_axes": 1}, {"attention_axes": (1,)}, {"flash_attention": False}],
)
def test_what_changes_nothing_is_taken(value):
    x = draw(B, T, F)
    outputs = []
    for arguments in ({}, value):
        keras.utils.set_random_seed(1)
        outputs.append(numpy(attention(**arguments)(x, x)))
    assert np.array_equal(*outputs)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ([(B, F), (B, S, F)], "`query` must have rank 3"),
        ([(B, T, F), (B, 4, S, F)], "`value` must have rank 3"),
        ([(B, T, F), (B, S, F), (B, F)], "`key` must have rank 3"),
        ([(B, T, F), (B, S, F), (B, S + 1, F)], "the same length"),
    ],
)
def test_input_shapes_are_checked(shapes, message):
    with pytest.raises(ValueError, match=message):
        attention().build(*shapes)


def test_empty_sequences():
    layer = attention()
    output = layer(draw(B, T, F), draw(B, 0, F))
    bias = numpy(weights(layer)["attention_output/bias"])
    assert_close(numpy(output), np.broadcast_to(bias, (B, T, F)))
    assert tuple(layer(draw(B, 0, F), draw(B, S, F)).shape) == (B, 0, F)


def test_an_empty_batch():
    layer = attention()
    assert tuple(layer(draw(0, T, F), draw(0, S, F)).shape) == (0, T, F)
