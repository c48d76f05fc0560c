"""`PerformerEncoder`: an encoder block that padding does not touch."""

import inspect
import json

import keras
import numpy as np
import pytest
from layer_inputs import B, H, T, draw, draw_mask, numpy, weights
from tolerances import assert_close

from keras_performer import feature_maps
from keras_performer.layers import PerformerEncoder

F, HIDDEN = 15, 23  # features: H heads of 5; hidden size of the feed-forward network


def encoder(**arguments):
    defaults = {
        "intermediate_dim": HIDDEN,
        "num_heads": H,
        "num_features": 19,
        "bias_initializer": keras.initializers.RandomNormal(stddev=0.5),
        "seed": 0,
    }
    return PerformerEncoder(**{**defaults, **arguments})


def masked(x, mask):
    x = x.copy()
    x[~mask] = 0
    return keras.layers.Masking()(keras.ops.convert_to_tensor(x))


@pytest.mark.parametrize("normalize_first", [False, True])
def test_the_block_by_its_sublayers(normalize_first):
    block = encoder(normalize_first=normalize_first, activation="gelu")
    x, mask = draw(B, T, F), draw_mask(T)
    output = numpy(block(x, padding_mask=mask))

    w = {
        path: numpy(weight).astype("float64") for path, weight in weights(block).items()
    }

    def norm(name, x):
        centered = x - x.mean(axis=-1, keepdims=True)
        scaled = centered / np.sqrt(x.var(axis=-1, keepdims=True) + 1e-5)
        return scaled * w[f"{name}/gamma"] + w[f"{name}/beta"]

    def attend(x):
        layer = block._self_attention_layer
        return numpy(layer(x.astype("float32"), x.astype("float32"), value_mask=mask))

    def feed_forward(x):
        name = "feedforward_intermediate_dense"
        x = x @ w[f"{name}/kernel"] + w[f"{name}/bias"]
        x = numpy(keras.activations.gelu(x))
        name = "feedforward_output_dense"
        return x @ w[f"{name}/kernel"] + w[f"{name}/bias"]

    if normalize_first:
        x = x + attend(norm("self_attention_layer_norm", x))
        x = x + feed_forward(norm("feedforward_layer_norm", x))
    else:
        x = norm("self_attention_layer_norm", x + attend(x))
        x = norm("feedforward_layer_norm", x + feed_forward(x))
    assert_close(output, x)


@pytest.mark.parametrize("normalize_first", [False, True])
@pytest.mark.parametrize("kind", ["padding_mask", "attention_mask", "implicit"])
def test_padded_is_as_unpadded(normalize_first, kind):
    block = encoder(normalize_first=normalize_first)
    x, mask = draw(B, T, F), draw_mask(T)
    masks = {"padding_mask": mask, "attention_mask": mask[:, None]}
    arguments = {} if kind == "implicit" else {kind: masks[kind]}
    output = numpy(block(x if arguments else masked(x, mask), **arguments))
    for row in range(B):
        alone = numpy(block(x[row : row + 1, mask[row]]))
        assert_close(output[row : row + 1, mask[row]], alone)


def test_the_attention_mask_of_keras_hub():
    block = encoder()
    x, mask = draw(B, T, F), draw_mask(T)
    expected = numpy(block(x, padding_mask=mask))
    assert np.array_equal(numpy(block(x, attention_mask=mask[:, None])), expected)
    other = draw_mask(T, seed=1)
    both = numpy(block(x, padding_mask=mask, attention_mask=other[:, None]))
    assert np.array_equal(both, numpy(block(x, padding_mask=mask & other)))
    with pytest.raises(ValueError, match="`attention_mask` must be a key mask"):
        block(x, attention_mask=np.ones((B, T, T), "bool"))
    with pytest.raises(ValueError, match="`attention_mask` must be a key mask"):
        block(x, attention_mask=mask)


@pytest.mark.parametrize("normalize_first", [False, True])
@pytest.mark.parametrize("return_attention_scores", [False, True])
def test_the_mask_passes_on(normalize_first, return_attention_scores):
    block = encoder(normalize_first=normalize_first)
    mask = draw_mask(T)
    output = block(
        masked(draw(B, T, F), mask), return_attention_scores=return_attention_scores
    )
    if return_attention_scores:
        output = output[0]
    assert np.array_equal(numpy(output._keras_mask), mask)
    assert getattr(block(draw(B, T, F)), "_keras_mask", None) is None


def test_blocks_in_a_stack_see_the_mask():
    blocks = [
        encoder(),
        encoder(normalize_first=True, feature_map="relu", num_features=None),
    ]
    ids = keras.Input((None,), dtype="int32")
    x = keras.layers.Embedding(7, F, mask_zero=True)(ids)
    for block in blocks:
        x = block(x)
    model = keras.Model(ids, x)
    short = np.array([[1, 2, 3]])
    padded = np.array([[0, 1, 2, 0, 3, 0]])
    assert_close(numpy(model(padded))[:, [1, 2, 4]], numpy(model(short)))


def test_normalizing_first_or_last_differ():
    x = draw(B, T, F)
    blocks = [encoder(normalize_first=first) for first in (False, True)]
    for block in blocks:
        block.build(x.shape)
    blocks[1].set_weights(blocks[0].get_weights())
    last, first = (numpy(block(x)) for block in blocks)
    assert np.max(np.abs(last - first)) > 0.1
    # Normalized last, the output has the moments that the normalization gives it.
    assert np.allclose(last.mean(axis=-1), 0, atol=1e-5)
    assert np.allclose(last.std(axis=-1), 1, atol=1e-3)


def test_scores():
    block = encoder()
    x, mask = draw(B, T, F), draw_mask(T)
    output, scores = block(x, padding_mask=mask, return_attention_scores=True)
    assert tuple(scores.shape) == (B, H, T, T)
    assert np.array_equal(numpy(output), numpy(block(x, padding_mask=mask)))
    assert_close(numpy(scores).sum(axis=-1), np.ones((B, H, T)))
    assert np.all(numpy(scores)[1, :, :, ~mask[1]] == 0)


@pytest.mark.parametrize("return_attention_scores", [False, True])
def test_shapes_are_known_beforehand(return_attention_scores):
    block = encoder()
    arguments = {"return_attention_scores": return_attention_scores}
    symbolic = block(keras.KerasTensor((B, T, F)), **arguments)
    actual = block(draw(B, T, F), **arguments)
    pairs = zip(keras.tree.flatten(symbolic), keras.tree.flatten(actual), strict=True)
    for spec, tensor in pairs:
        assert spec.shape == tuple(tensor.shape)
        assert spec.dtype == keras.backend.standardize_dtype(tensor.dtype)
    assert block.compute_output_shape((B, T, F)) == (B, T, F)


def test_dropout_acts_in_training_only():
    block = encoder(dropout=0.5)
    x = draw(B, T, F)
    plain = numpy(block(x))
    assert np.array_equal(plain, numpy(block(x, training=False)))
    assert not np.any(numpy(block(x, training=True)) == plain)


def test_dropouts_of_a_block_are_independent():
    block = encoder(dropout=0.5)
    block.build((B, T, F))
    ones = np.ones((B, T, F), "float32")
    dropouts = (
        block._self_attention_layer._dropout_layer,
        block._self_attention_dropout,
        block._feedforward_dropout,
    )
    dropped = [numpy(layer(ones, training=True)) for layer in dropouts]
    for i, first in enumerate(dropped):
        assert not any(np.array_equal(first, other) for other in dropped[:i])


ARGUMENTS = {
    "intermediate_dim": HIDDEN,
    "num_heads": H,
    "dropout": 0.25,
    "activation": "gelu",
    "layer_norm_epsilon": 1e-3,
    "kernel_initializer": keras.initializers.RandomNormal(stddev=0.3),
    "bias_initializer": keras.initializers.Constant(0.5),
    "normalize_first": True,
    "normalization": "rms_norm",
    "feedforward": "gated",
    "feedforward_chunk": 5,
    "attention": "linear",
    "feature_map": "softmax",
    "num_features": 19,
    "projection": "gaussian",
    "rotary_base": 100.0,
    "exact_window": 3,
    "num_key_value_heads": 1,
    "short_convolution": 3,
    "forget_gate": True,
    "normalize_heads": True,
    "output_gate": "silu",
    "remat": True,
    "seed": 13,
    "name": "other_name",
    "dtype": "mixed_bfloat16",
}


def test_round_trip_of_every_argument():
    parameters = set(inspect.signature(PerformerEncoder.__init__).parameters)
    assert parameters - {"self", "kwargs"} <= set(ARGUMENTS)
    block = PerformerEncoder(**ARGUMENTS)
    config = json.loads(json.dumps(block.get_config()))
    restored = PerformerEncoder.from_config(config)
    assert json.loads(json.dumps(restored.get_config())) == config
    for name in set(ARGUMENTS) & {"dropout", "num_heads", "num_features", "seed"}:
        assert getattr(restored, name) == ARGUMENTS[name]
    assert restored.dtype_policy.name == "mixed_bfloat16"
    defaults = PerformerEncoder(HIDDEN, H).get_config()
    same = {"intermediate_dim", "num_heads", "feature_map", "attention"}
    for name in set(ARGUMENTS) - same:
        assert defaults[name] != config[name], name
    exact = PerformerEncoder(HIDDEN, H, attention="exact").get_config()
    assert PerformerEncoder.from_config(exact).attention == "exact"
    relu = PerformerEncoder(HIDDEN, H, feature_map="relu")
    restored = PerformerEncoder.from_config(relu.get_config())
    assert restored.feature_map == feature_maps.get("relu")


def test_arguments_reach_the_sublayers():
    # Heads of 5 features cannot be rotated.
    block = PerformerEncoder(**{**ARGUMENTS, "rotary_base": None, "exact_window": None})
    block.build((B, T, F))
    layer = block._self_attention_layer
    assert layer.num_features == 19
    assert layer.num_key_value_heads == 1
    assert layer.dropout == 0.25
    assert layer.get_config()["projection"] == "gaussian"
    assert layer.key_dim == F // H
    for name, weight in weights(block).items():
        if name.endswith("bias") and "forget" not in name:
            assert np.all(numpy(weight) == 0.5), name
    for name in ("self_attention_layer_norm", "feedforward_layer_norm"):
        assert getattr(block, f"_{name}").epsilon == 1e-3
    for name in ("self_attention_dropout", "feedforward_dropout"):
        assert getattr(block, f"_{name}").rate == 0.25
    assert block._feedforward_gate_dense.activation is keras.activations.gelu
    for sublayer in block._flatten_layers(include_self=False):
        assert sublayer.dtype_policy.name == "mixed_bfloat16", sublayer.name


def test_the_seed_decides():
    x = draw(B, T, F)

    def output(seed):
        keras.utils.set_random_seed(0)  # the kernels; the seed is the projection's
        return numpy(encoder(seed=seed, dropout=0.5)(x, training=True))

    assert np.array_equal(output(3), output(3))
    assert not np.any(output(3) == output(4))


def test_weight_paths(snapshot):
    block = encoder(name="performer_encoder", num_features=None)
    block.build((B, T, F))
    snapshot(
        "performer_encoder_weights", {w.path: list(w.shape) for w in block.weights}
    )


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "float64"])
def test_dtype_policies(policy):
    block = encoder(dtype=policy, normalize_first=True)
    inputs = keras.Input((None, F))
    model = keras.Model(inputs, block(inputs))
    output = model(draw(B, T, F))
    expected = keras.DTypePolicy(policy).compute_dtype
    assert keras.backend.standardize_dtype(output.dtype) == expected
    model.compile("sgd", "mse", jit_compile=False)
    x = draw(B, T, F)
    assert np.isfinite(model.train_on_batch(x, x))
    assert all(np.all(np.isfinite(numpy(w))) for w in model.weights)


def test_a_head_has_a_feature():
    with pytest.raises(ValueError, match=r"as many as `num_heads`.*\(2, 13, 2\)"):
        encoder().build((B, T, 2))


def test_features_that_no_head_has():
    """As in KerasHub's block: heads are of `F // H` features, rounded down."""
    block = encoder()
    assert block(draw(B, T, F + 1)).shape == (B, T, F + 1)
    assert block._self_attention_layer.key_dim == F // H


@pytest.mark.parametrize("name", ["num_heads", "intermediate_dim"])
def test_sizes_are_checked(name):
    with pytest.raises(ValueError, match=name):
        encoder(**{name: 0}).build((B, T, F))
