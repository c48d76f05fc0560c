"""`FastAttention`: every argument acts, is kept, and comes back from a file."""

import inspect
import json

import keras
import numpy as np
import pytest
from layer_inputs import B, D, F, H, S, T, attention, draw, draw_inputs, numpy, weights
from tolerances import assert_close

from keras_performer import feature_maps
from keras_performer.layers import FastAttention


@keras.saving.register_keras_serializable(package="test_fast_attention_config")
def identity_rows(seed, num_features, head_dim):
    return np.eye(num_features, head_dim, dtype="float32")


# Each argument with a value that is not its default.
ARGUMENTS = {
    "num_heads": H,
    "key_dim": 4,
    "value_dim": 7,
    "dropout": 0.25,
    "use_bias": False,
    "output_shape": (11, 3),
    "attention_axes": (1,),
    "kernel_initializer": keras.initializers.RandomNormal(stddev=0.3, seed=4),
    "bias_initializer": keras.initializers.Constant(0.5),
    "kernel_regularizer": keras.regularizers.L2(0.01),
    "bias_regularizer": keras.regularizers.L1(0.02),
    "activity_regularizer": keras.regularizers.L2(0.03),
    "kernel_constraint": keras.constraints.MaxNorm(1.5),
    "bias_constraint": keras.constraints.NonNeg(),
    "use_gate": True,
    "seed": 13,
    "num_key_value_heads": 1,
    "rotary_base": 100,
    "exact_window": 4,
    "gate_activation": "silu",
    "normalize_heads": True,
    "forget_gate": True,
    "feature_map": feature_maps.Softmax(),
    "num_features": 19,
    "projection": identity_rows,
    "name": "other_name",
    "dtype": "mixed_bfloat16",
    "trainable": False,
}
# They have one value each; the others are refused.
FIXED = {"sliding_window", "flash_attention"}


def test_every_argument_is_listed_here():
    parameters = set(inspect.signature(FastAttention.__init__).parameters)
    assert parameters - {"self", "kwargs"} <= set(ARGUMENTS) | FIXED
    defaults = FastAttention(H, D).get_config()
    for name in set(ARGUMENTS) - {"num_heads", "key_dim", "feature_map"}:
        assert defaults[name] != FastAttention(**ARGUMENTS).get_config()[name], name


def test_round_trip_of_every_argument():
    layer = FastAttention(**ARGUMENTS)
    config = layer.get_config()
    assert set(ARGUMENTS) <= set(config)
    restored = FastAttention.from_config(json.loads(json.dumps(config)))
    again = restored.get_config()
    assert json.dumps(again, sort_keys=True) == json.dumps(config, sort_keys=True)
    for name in ("num_heads", "key_dim", "value_dim", "dropout", "use_bias", "seed"):
        assert getattr(restored, name) == ARGUMENTS[name]
    assert restored.dtype_policy.name == "mixed_bfloat16"


@pytest.mark.parametrize(
    "argument",
    [{"feature_map": "relu"}, {"feature_map": feature_maps.Generalized("elu", 1.0)}],
    ids=str,
)
def test_round_trip_of_feature_maps(argument):
    layer = FastAttention(H, D, **argument)
    config = json.loads(json.dumps(layer.get_config()))
    assert FastAttention.from_config(config).feature_map == layer.feature_map


def test_a_layer_from_a_config_draws_the_same():
    inputs = draw_inputs()
    layers = [attention(kernel_initializer=ARGUMENTS["kernel_initializer"])]
    layers.append(FastAttention.from_config(layers[0].get_config()))
    outputs = [numpy(layer(*inputs)) for layer in layers]
    assert np.array_equal(*outputs)


def test_attributes_are_those_of_keras():
    ours = FastAttention(H, D, value_dim=7, dropout=0.25, attention_axes=1)
    theirs = keras.layers.MultiHeadAttention(
        H, D, value_dim=7, dropout=0.25, attention_axes=1
    )
    names = ("num_heads", "key_dim", "value_dim", "dropout", "use_bias")
    for name in (*names, "attention_axes"):
        assert getattr(ours, name) == getattr(theirs, name)


def built(**arguments):
    layer = attention(**arguments)
    layer.build((B, T, F), (B, S, F))
    return layer


def test_initializers_act():
    layer = built(kernel_initializer="ones", bias_initializer="zeros", use_gate=True)
    for name in ("query", "key", "value", "gate", "attention_output"):
        assert np.all(numpy(weights(layer)[f"{name}/kernel"]) == 1)
        assert np.all(numpy(weights(layer)[f"{name}/bias"]) == 0)


def test_kernels_start_different():
    layer = built()
    kernels = [numpy(w) for path, w in weights(layer).items() if "kernel" in path]
    for i, kernel in enumerate(kernels):
        for other in kernels[:i]:
            assert not np.any(kernel.ravel()[:20] == other.ravel()[:20])


def test_kernels_of_a_seeded_initializer_start_different():
    layer = built(kernel_initializer=keras.initializers.RandomNormal(seed=1))
    kernels = [numpy(w) for path, w in weights(layer).items() if "kernel" in path]
    for i, kernel in enumerate(kernels):
        for other in kernels[:i]:
            assert not np.any(kernel.ravel()[:20] == other.ravel()[:20])


def test_regularizers_act():
    layer = built(
        kernel_regularizer=keras.regularizers.L2(0.01),
        bias_regularizer=keras.regularizers.L1(0.02),
        use_gate=True,
    )
    expected = 0
    for path, weight in weights(layer).items():
        if "kernel" in path:
            expected += 0.01 * np.sum(numpy(weight) ** 2)
        elif "bias" in path:
            expected += 0.02 * np.sum(np.abs(numpy(weight)))
    assert len(layer.losses) == 10
    assert np.isclose(sum(map(numpy, layer.losses)), expected, rtol=1e-5)


def test_the_activity_regularizer_acts():
    layer = built(activity_regularizer=keras.regularizers.L2(0.5))
    x = draw(B, T, F)
    output = numpy(layer(x, x))
    losses = [numpy(loss) for loss in layer.losses]
    assert len(losses) == 4  # of each projection
    expected = 0.5 * np.sum(output**2) / B
    assert any(np.isclose(loss, expected, rtol=1e-4) for loss in losses)


def test_constraints_act():
    layer = built(kernel_constraint="non_neg", bias_constraint="unit_norm")
    for path, weight in weights(layer).items():
        if path != "projection":
            kind = {"kernel": "NonNeg", "bias": "UnitNorm"}[path.split("/")[1]]
            assert type(weight.constraint).__name__ == kind
    x = draw(B, T, F)
    model = keras.Sequential([keras.Input((T, F)), SelfAttention(layer)])
    model.compile("sgd", "mse")
    model.train_on_batch(x, 10 * x)
    for path, weight in weights(layer).items():
        if path.endswith("kernel"):
            assert np.min(numpy(weight)) >= 0


class SelfAttention(keras.layers.Layer):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def call(self, x):
        return self.layer(x, x)


def test_not_trainable():
    layer = built(trainable=False)
    assert layer.trainable_weights == []


def test_weights_only(tmp_path):
    x = draw(B, T, F)
    layers = [attention(seed=seed) for seed in (1, 2)]
    models = []
    for layer in layers:
        inputs = keras.Input((None, F))
        models.append(keras.Model(inputs, layer(inputs, inputs)))
    path = tmp_path / "model.weights.h5"
    models[0].save_weights(path)
    assert not np.array_equal(*(model.predict(x, verbose=0) for model in models))
    models[1].load_weights(path)
    assert np.array_equal(*(model.predict(x, verbose=0) for model in models))


def test_grouped_heads_have_the_weights_of_keras():
    """Names and shapes of `GroupQueryAttention`, and its output at equal keys."""
    x = np.random.default_rng(0).standard_normal((2, 7, 16)).astype("float32")
    theirs_takes = inspect.signature(keras.layers.GroupQueryAttention).parameters
    gate = {"use_gate": True} if "use_gate" in theirs_takes else {}
    ours = FastAttention(6, 4, num_key_value_heads=2, seed=0, **gate)
    theirs = keras.layers.GroupQueryAttention(4, 6, 2, **gate)
    ours(x, x), theirs(x, x)
    shapes, expected = (
        {w.path.split("/", 1)[1]: w.shape for w in layer.trainable_weights}
        for layer in (ours, theirs)
    )
    assert shapes == expected
    by_path = {w.path.split("/", 1)[1]: w for w in theirs.weights}
    for weight in ours.trainable_weights:
        weight.assign(by_path[weight.path.split("/", 1)[1]])
    ours.key_dense.kernel.assign(0 * ours.key_dense.kernel)
    theirs._key_dense.kernel.assign(0 * theirs._key_dense.kernel)
    assert_close(numpy(ours(x, x)), numpy(theirs(x, x)))
    restored = FastAttention.from_config(ours.get_config())
    assert restored.num_key_value_heads == 2


@pytest.mark.parametrize("heads", [4, 0, 1.5])
def test_heads_that_cannot_be_shared_are_refused(heads):
    with pytest.raises(ValueError, match=f"num_key_value_heads={heads}"):
        FastAttention(6, 4, num_key_value_heads=heads)
