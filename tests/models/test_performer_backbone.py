"""`PerformerBackbone`: hidden states, the same however a document is padded."""

import inspect
import json

import keras
import numpy as np
import pytest
from tolerances import assert_close

from keras_performer import feature_maps
from keras_performer.models import PerformerBackbone

VOCABULARY, T = 29, 13


def backbone(**arguments):
    defaults = {
        "vocabulary_size": VOCABULARY,
        "num_layers": 2,
        "num_heads": 3,
        "hidden_dim": 18,
        "intermediate_dim": 23,
        "seed": 0,
    }
    return PerformerBackbone(**{**defaults, **arguments})


def draw_ids(*shape, seed=0):
    return np.random.default_rng(seed).integers(1, VOCABULARY, shape).astype("int32")


def values(model):
    """Weights by path."""
    return {w.path: keras.ops.convert_to_numpy(w) for w in model.weights}


def run(model, ids):
    """The output for token ids, as an array."""
    return keras.ops.convert_to_numpy(model(ids))


def randomize(model):
    """Weights as large as those of a trained model, the projections left alone."""
    generator = np.random.default_rng(0)
    for weight in model.trainable_weights:
        weight.assign(weight + 0.3 * generator.standard_normal(weight.shape))
    return model


@pytest.mark.parametrize("feature_map", ["softmax", "relu"])
def test_padding_changes_nothing(feature_map):
    model = randomize(backbone(feature_map=feature_map))
    ids = draw_ids(1, T)
    alone = run(model, ids)
    right = np.pad(ids, [(0, 0), (0, 40)])
    assert_close(run(model, right)[:, :T], alone)
    batch = np.concatenate([right, draw_ids(2, T + 40, seed=1)])
    together = run(model, batch)
    assert_close(together[:1, :T], alone)
    batch[1:] = draw_ids(2, T + 40, seed=2)
    assert np.array_equal(together[0], run(model, batch)[0])


def test_positions_count():
    model = randomize(backbone())
    ids = draw_ids(1, T)
    output = run(model, ids)
    swapped = run(model, ids[:, ::-1])[:, ::-1]
    assert not np.allclose(output, swapped, atol=0.01)
    other = randomize(backbone(max_wavelength=50))
    assert not np.allclose(output, run(other, ids), atol=0.01)


@pytest.mark.parametrize("positions", ["sinusoidal", "rotary", "learned"])
def test_padding_takes_no_position(positions):
    """On the left, between tokens, and on the right."""
    longest = {"max_sequence_length": 12} if positions == "learned" else {}
    model = randomize(backbone(num_layers=1, positions=positions, **longest))
    ids = draw_ids(1, 5)
    alone = run(model, ids)
    for places in ([3, 4, 5, 6, 7], [0, 1, 4, 6, 7], [0, 1, 2, 3, 4]):
        padded = np.zeros((1, 8), "int32")
        padded[:, places] = ids
        assert_close(run(model, padded)[:, places], alone)


@pytest.mark.parametrize("length", [0, 1, 700])
def test_any_length(length):
    output = run(backbone(), draw_ids(2, length))
    assert output.shape == (2, length, 18)
    assert np.all(np.isfinite(output))


def test_nothing_but_padding_is_finite():
    output = run(backbone(), np.zeros((2, T), "int32"))
    assert np.all(np.isfinite(output))


def test_the_output_is_masked():
    ids = draw_ids(2, T)
    ids[0, 5:] = 0
    mask = backbone()(ids)._keras_mask
    assert np.array_equal(keras.ops.convert_to_numpy(mask), ids != 0)


def test_the_seed_decides():
    first, again, other = (
        values(backbone(seed=seed, feature_map="softmax")) for seed in (3, 3, 4)
    )
    for path, value in first.items():
        assert np.array_equal(value, again[path]), path
        if path.endswith(("kernel", "embeddings", "projection")):
            assert not np.any(value == other[path]), path


def test_no_seed_draws_other_weights():
    first, other = (values(backbone(seed=None)) for _ in range(2))
    for path, value in first.items():
        if path.endswith(("kernel", "embeddings", "projection")):
            assert not np.any(value == other[path]), path


@pytest.mark.parametrize("kind", ["projection", "embeddings", "kernel"])
@pytest.mark.parametrize("seed", [None, 0])
def test_no_two_weights_start_equal(kind, seed):
    drawn = [
        v
        for path, v in values(backbone(seed=seed, feature_map="softmax")).items()
        if path.endswith(kind)
    ]
    assert drawn
    for i, value in enumerate(drawn):
        for other in drawn[:i]:
            assert not np.any(value.ravel()[:50] == other.ravel()[:50])


def test_dropout_acts_in_training_only():
    model = randomize(backbone(dropout=0.5))
    ids = draw_ids(2, T)
    plain = run(model, ids)
    assert np.array_equal(plain, keras.ops.convert_to_numpy(model(ids, training=False)))
    dropped = keras.ops.convert_to_numpy(model(ids, training=True))
    assert not np.any(plain == dropped)


ARGUMENTS = {
    "vocabulary_size": VOCABULARY,
    "num_layers": 2,
    "num_heads": 3,
    "hidden_dim": 18,
    "intermediate_dim": 23,
    "dropout": 0.25,
    "max_wavelength": 100,
    "feature_map": feature_maps.Softmax(),
    "num_features": 19,
    "seed": 13,
    "dtype": "mixed_bfloat16",
    "causal": False,
    "positions": "sinusoidal",
    "max_sequence_length": None,
    "position_scale": 0.5,
    "exact_window": [None, 5],
    "num_key_value_heads": 1,
    "attention": ["exact", "linear"],
    "block": {"short_convolution": 3, "output_gate": "silu"},
    "activation": "silu",
    "normalize_first": False,
    "normalization": "rms_norm",
    "feedforward": "gated",
    "feedforward_chunk": 7,
    "remat": True,
    "tie_embeddings": False,
    "packed": True,
    "name": "other_name",
    "trainable": False,
}


def test_round_trip_of_every_argument():
    parameters = set(inspect.signature(PerformerBackbone.__init__).parameters)
    assert parameters - {"self", "kwargs"} <= set(ARGUMENTS)
    model = PerformerBackbone(**ARGUMENTS)
    config = json.loads(json.dumps(model.get_config()))
    assert set(ARGUMENTS) == set(config)
    restored = PerformerBackbone.from_config(config)
    assert json.loads(json.dumps(restored.get_config())) == config
    for path, value in values(model).items():
        assert np.array_equal(value, values(restored)[path]), path
    relu = backbone(feature_map="relu", name=None)
    restored = PerformerBackbone.from_config(relu.get_config())
    assert restored.feature_map == feature_maps.get("relu")


def test_arguments_reach_the_layers():
    model = PerformerBackbone(**ARGUMENTS)
    assert not model.trainable_weights
    assert model.get_layer("position_embedding").max_wavelength == 100
    assert model.get_layer("embedding_dropout").rate == 0.25
    for index in range(2):
        block = model.get_layer(f"performer_encoder_{index}")
        assert block.dropout == 0.25
        assert block.num_features == 19
        assert not block.normalize_first
        assert block.attention == ["exact", "linear"][index]
        assert block.exact_window == [None, 5][index]
        assert block.normalization == "rms_norm"
        assert (block.feedforward, block.feedforward_chunk) == ("gated", 7)
        assert block.activation is keras.activations.silu
        assert block.remat
        assert block.feature_map == feature_maps.Softmax()
    for layer in model.layers:
        if isinstance(layer, keras.layers.InputLayer):
            continue
        assert layer.dtype_policy.name == "mixed_bfloat16", layer.name


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16", "float64"])
def test_dtype_policies(dtype):
    model = backbone(dtype=dtype)
    output = model(draw_ids(2, T))
    expected = keras.DTypePolicy(dtype).compute_dtype
    assert keras.backend.standardize_dtype(output.dtype) == expected
    assert np.all(
        np.isfinite(keras.ops.convert_to_numpy(keras.ops.cast(output, "float32")))
    )


def test_the_global_policy_is_taken_and_kept():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = backbone()
    finally:
        keras.config.set_dtype_policy(before)
    restored = PerformerBackbone.from_config(model.get_config())
    for each in (model, restored):
        for layer in each.layers[1:]:
            assert layer.dtype_policy.name == "mixed_bfloat16", layer.name


def test_weight_paths(snapshot):
    model = backbone(num_features=None)
    snapshot(
        "performer_backbone_weights", {w.path: list(w.shape) for w in model.weights}
    )
