"""The weights of feature maps that adapt: gathered in training, frozen in inference."""

import keras
import numpy as np
import pytest
from layer_inputs import (
    FK,
    FV,
    B,
    D,
    F,
    H,
    T,
    attention,
    draw,
    draw_inputs,
    draw_mask,
    weights,
)
from layer_inputs import numpy as to_numpy
from tolerances import assert_close

from keras_performer.callbacks import RedrawProjections
from keras_performer.feature_maps import Moments
from keras_performer.layers import PerformerEncoder

NAMES = ["favor_plus_plus", "favor_sharp", "sderf", "aderf"]
MOMENTS = Moments._fields
ADAPTED = ("query_transform", "key_transform", "curvature")
MOMENTUM = 0.99


# One with a weight of each kind that follows from sums, and one from decompositions.
@pytest.fixture(params=["favor_sharp", "aderf"])
def name(request):
    return request.param


def built(name, **arguments):
    layer = attention(feature_map=name, **arguments)
    layer.build((B, T, F), (B, T, F))
    return layer


def values(layer):
    return {path: to_numpy(weight) for path, weight in weights(layer).items()}


def changed(before, after):
    assert set(before) == set(after)
    return {path for path in before if not np.array_equal(before[path], after[path])}


def heads(layer, x, dense="query_dense"):
    """The heads that a layer makes of an input, (B, T, H, D)."""
    return getattr(layer, dense)(keras.ops.convert_to_tensor(x))


def batch_moments(layer, query, key, query_mask=None, key_mask=None):
    return Moments(
        *map(
            to_numpy,
            Moments.of(
                heads(layer, query),
                heads(layer, key, "key_dense"),
                query_mask,
                key_mask,
            ),
        )
    )


def parameters_of(layer):
    return {key: x for key, x in values(layer).items() if key in ADAPTED}


def expected_parameters(layer, moments):
    adapted = layer.feature_map.adapted_parameters(moments)
    return {key: to_numpy(x) for key, x in adapted.items()}


def model_of(layer, **call_arguments):
    inputs = keras.Input((None, F))
    return keras.Model(inputs, layer(inputs, inputs, **call_arguments))


@pytest.mark.parametrize("name", NAMES)
def test_the_weights_are_those_of_the_contract(name):
    layer = built(name)
    shapes = {path: w.shape for path, w in weights(layer).items()}
    assert shapes["projection"] == (19, D)
    assert shapes["curvature"] == shapes["query_mean"] == shapes["key_mean"] == (H, D)
    for path in ("query_transform", "key_transform", "query_square", "key_square"):
        assert shapes[path] == (H, D, D)
    assert shapes["gathered"] == ()
    own = {"projection", "gathered", *MOMENTS, *ADAPTED}
    frozen = {w.path.split("/", 1)[1] for w in layer.non_trainable_weights}
    assert own <= frozen
    assert all(weights(layer)[path].dtype == "float32" for path in own)


@pytest.mark.parametrize("name", ["softmax", "relu", "learned", "hybrid"])
def test_maps_that_do_not_adapt_have_no_such_weights(name):
    arguments = {"num_features": None} if name == "relu" else {}
    layer = built(name, **arguments)
    assert not {"gathered", *MOMENTS, *ADAPTED} & set(weights(layer))
    before = values(layer)
    x = draw(B, T, F)
    layer(x, x, training=True)
    assert not changed(before, values(layer))


@pytest.mark.parametrize("use_causal_mask", [False, True])
def test_inference_changes_no_weight(name, use_causal_mask):
    layer = built(name)
    x = draw(B, T, F)
    layer(x, x, training=True)
    before = values(layer)
    outputs = [
        to_numpy(layer(x, x, use_causal_mask=use_causal_mask, **arguments))
        for arguments in ({}, {"training": False}, {"training": False})
    ]
    model = model_of(layer, use_causal_mask=use_causal_mask)
    model.compile("sgd", "mse", jit_compile=False)
    outputs.append(model.predict(x, verbose=0))
    model.evaluate(x, x, verbose=0)
    assert not changed(before, values(layer))
    for output in outputs[1:]:
        assert_close(output, outputs[0])


@pytest.mark.parametrize("frozen", ["layer", "model"])
def test_a_frozen_layer_gathers_nothing(frozen):
    layer = built("favor_sharp")
    x = draw(B, T, F)
    model = model_of(layer)
    (layer if frozen == "layer" else model).trainable = False
    before = values(layer)
    model(x, training=True)
    assert not changed(before, values(layer))
    model.trainable = layer.trainable = True
    model(x, training=True)
    assert {"gathered"} < changed(before, values(layer))


def test_attention_of_a_block_that_is_frozen_before_it_is_built_is_frozen():
    block = PerformerEncoder(8, H, feature_map="favor_sharp")
    block.trainable = False
    x = draw(B, T, F)
    block(x)
    before = [to_numpy(weight) for weight in block.weights]
    block(x, training=True)
    after = [to_numpy(weight) for weight in block.weights]
    assert all(map(np.array_equal, before, after))
    block.trainable = True
    block(x, training=True)
    assert not all(map(np.array_equal, before, map(to_numpy, block.weights)))


@pytest.mark.parametrize("name", NAMES)
def test_the_first_step_gathers_the_moments_of_its_batch(name):
    layer = built(name)
    x, y = draw(B, T, F), draw(B, T + 2, F, seed=1)
    before = values(layer)
    layer(x, y, training=True)
    after = values(layer)
    expected = batch_moments(layer, x, y)
    assert_close(after["gathered"], 1 - MOMENTUM)
    for path, moment in zip(MOMENTS, expected, strict=True):
        assert_close(after[path] / after["gathered"], moment)
    adapted = expected_parameters(layer, expected)
    for path, parameter in adapted.items():
        assert np.max(np.abs(after[path] - parameter)) < 1e-3
        assert np.max(np.abs(after[path] - before[path])) > 1e-2
    assert changed(before, after) == {"gathered", *MOMENTS, *adapted}


def test_later_steps_move_the_average(name):
    layer = built(name)
    batches = [(1 + i) * draw(B, T, F, seed=i) for i in range(4)]
    moments = []
    for x in batches:
        layer(x, x, training=True)
        moments.append(batch_moments(layer, x, x))
    shares = MOMENTUM ** np.arange(len(batches))[::-1]
    shares = shares / shares.sum()
    expected = Moments(
        *(
            np.tensordot(shares, np.stack(field), 1).astype("float32")
            for field in zip(*moments, strict=True)
        )
    )
    after = values(layer)
    for path, moment in zip(MOMENTS, expected, strict=True):
        assert_close(after[path] / after["gathered"], moment)
    for path, parameter in expected_parameters(layer, expected).items():
        assert np.max(np.abs(after[path] - parameter)) < 1e-3


def test_what_masks_hide_is_not_gathered(name):
    layers = [built(name), built(name)]
    for a, b in zip(*(layer.weights for layer in layers), strict=True):
        b.assign(a)
    x, y = draw(B, T, F), draw(B, T, F, seed=1)
    masks = draw_mask(T, seed=1), draw_mask(T, seed=2)
    layers[0](x, y, training=True, query_mask=masks[0], value_mask=masks[1])
    expected = batch_moments(layers[0], x, y, *masks)
    for z, mask in zip((x, y), masks, strict=True):
        z[~mask] = 1e3
    layers[1](x, y, training=True, query_mask=masks[0], value_mask=masks[1])
    assert not changed(values(layers[0]), values(layers[1]))
    after = values(layers[0])
    for path, moment in zip(MOMENTS, expected, strict=True):
        assert_close(after[path] / after["gathered"], moment)


@pytest.mark.parametrize("use_causal_mask", [False, True])
def test_a_training_call_uses_the_parameters_from_before(name, use_causal_mask):
    layer = built(name)
    for seed in range(3):
        x = 2 * draw(B, T, F, seed=seed)
        expected = to_numpy(layer(x, x, use_causal_mask=use_causal_mask))
        actual = layer(x, x, use_causal_mask=use_causal_mask, training=True)
        assert_close(to_numpy(actual), expected)
        again = to_numpy(layer(x, x, use_causal_mask=use_causal_mask))
        assert np.max(np.abs(again - expected)) > 1e-4


def test_in_training_no_output_depends_on_a_later_position(name):
    twins = [built(name), built(name)]
    for a, b in zip(*(layer.weights for layer in twins), strict=True):
        b.assign(a)
    first = draw(B, T, F)
    for seed in range(2):  # of the first call, and of the second
        inputs = [draw(B, T, F, seed=10 + seed) for _ in twins]
        inputs[1][:, 6:] = 3 * draw(B, T - 6, F, seed=20 + seed)
        outputs = [
            to_numpy(layer(x, x, use_causal_mask=True, training=True))
            for layer, x in zip(twins, inputs, strict=True)
        ]
        assert np.array_equal(outputs[0][:, :6], outputs[1][:, :6])
        assert not np.array_equal(outputs[0][:, 6:], outputs[1][:, 6:])
        # From here on they differ by what they gathered: made equal for the next call.
        assert changed(values(twins[0]), values(twins[1]))
        for a, b in zip(*(layer.weights for layer in twins), strict=True):
            b.assign(a)
    assert to_numpy(twins[0](first, first)).shape == (B, T, F)


@pytest.mark.parametrize("use_causal_mask", [False, True])
def test_padding_and_neighbours_have_no_influence_in_inference(name, use_causal_mask):
    layer = built(name)
    x = draw(B, T, F)
    layer(x, x, training=True)
    mask = np.ones((B, T), "bool")
    mask[0, 9:] = False

    def attend(x, mask):
        output = layer(
            x, x, query_mask=mask, value_mask=mask, use_causal_mask=use_causal_mask
        )
        return to_numpy(output)

    before = attend(x, mask)
    alone = attend(x[:1, :9], mask[:1, :9])
    assert_close(before[:1, :9], alone)
    x[0, 9:] = 1e3
    x[1] = 50 * draw(T, F, seed=3)
    assert np.array_equal(before[0, :9], attend(x, mask)[0, :9])


def test_saving_keeps_moments_and_parameters(tmp_path):
    model = model_of(attention(feature_map="aderf", seed=None), use_causal_mask=True)
    x = draw(B, T, F)
    model.compile("sgd", "mse", jit_compile=False)
    model.train_on_batch(x, x)
    model.save(tmp_path / "model.keras")
    restored = keras.saving.load_model(tmp_path / "model.keras")
    layers = [each.layers[-1] for each in (model, restored)]
    assert layers[1].feature_map == layers[0].feature_map
    assert not changed(values(layers[0]), values(layers[1]))
    assert values(layers[1])["gathered"] > 0
    assert np.array_equal(*(each.predict(x, verbose=0) for each in (model, restored)))
    # And goes on from there.
    for each in (model, restored):
        each.train_on_batch(2 * x, x)
    for path, value in values(layers[0]).items():
        assert_close(values(layers[1])[path], value)


@pytest.mark.parametrize(
    ("name", "jit_compile"),
    [("favor_plus_plus", False), ("sderf", "auto"), ("aderf", "auto")],
)
def test_fit_gathers_as_the_call_does(name, jit_compile):
    x = draw(4 * B, T, F)
    model = model_of(built(name))
    layer = model.layers[-1]
    for variable in layer.trainable_weights:
        assert variable.trainable
    model.compile(keras.optimizers.SGD(0.0), "mse", jit_compile=jit_compile)
    before = values(layer)
    model.fit(x, x, batch_size=B, shuffle=False, verbose=0)
    after = values(layer)
    twin = built(name)
    for path, weight in weights(twin).items():
        weight.assign(before[path])
    for batch in np.split(x, 4):
        twin(batch, batch, training=True)
    for path, value in values(twin).items():
        assert_close(after[path], value, "bfloat16")
    assert {"gathered", *MOMENTS, "curvature"} <= changed(before, after)


@pytest.mark.slow
def test_training_learns_and_redrawing_keeps_what_was_adapted(name):
    x = draw(4 * B, T, F)
    model = model_of(attention(feature_map=name))
    layer = model.layers[-1]
    model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=False)
    history = model.fit(x, 2 * x, batch_size=B, epochs=3, verbose=0)
    assert history.history["loss"][-1] < history.history["loss"][0]

    before = values(layer)
    layer.redraw_projection((0, 1, 2))
    assert changed(before, values(layer)) == {"projection"}
    model.fit(x, x, batch_size=B, verbose=0, callbacks=[RedrawProjections(interval=4)])
    assert changed(before, values(layer)) >= {"projection", *MOMENTS, "curvature"}
    for variable in layer.weights:
        assert np.all(np.isfinite(to_numpy(variable)))


def test_adapting_to_given_moments_replaces_what_was_gathered(name):
    layer = built(name)
    x = draw(B, T, F)
    layer(x, x, training=True)
    given = batch_moments(layer, 3 * x, x)
    layer.adapt(given)
    after = values(layer)
    assert after["gathered"] == 1
    for path, moment in zip(MOMENTS, given, strict=True):
        assert_close(after[path], moment)
    for path, parameter in expected_parameters(layer, given).items():
        assert_close(after[path], parameter)


def test_each_head_has_its_own_parameters(name):
    """Of a layer whose second head sees queries of another size."""
    layer = built(name)
    kernel = layer.query_dense.kernel
    scale = np.array([1, 5, 1], "float32")[:, None]
    kernel.assign(to_numpy(kernel) * scale)
    x = draw(B, T, F)
    layer(x, x, training=True)
    curvature = values(layer)["curvature"].mean(axis=-1)
    assert np.argmin(curvature) == 1 and np.max(curvature) < 0


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "float64"])
def test_moments_are_kept_in_float32(name, policy):
    layer = built(name, dtype=policy)
    x = draw(B, T, F)
    output = layer(x, x, training=True, return_attention_scores=True)
    assert all(np.all(np.isfinite(to_numpy(each))) for each in output)
    for path in ("projection", "gathered", *MOMENTS, *ADAPTED):
        assert weights(layer)[path].dtype == "float32"
        assert np.all(np.isfinite(values(layer)[path]))


def test_queries_and_keys_of_other_sources():
    layer = attention(feature_map="favor_sharp")
    query, value, key = draw_inputs()
    assert value.shape[-1] == FV and key.shape[-1] == FK
    layer(query, value, key, training=True)
    expected = batch_moments(layer, query, key)
    after = values(layer)
    for path, moment in zip(MOMENTS, expected, strict=True):
        assert_close(after[path] / after["gathered"], moment)
