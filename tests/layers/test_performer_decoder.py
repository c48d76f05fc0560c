"""`PerformerDecoder`: a decoder block whose stream is its whole, in constant memory."""

import inspect
import itertools
import json

import compilers
import keras
import numpy as np
import pytest
from decoder_inputs import FS, HIDDEN, F, built, decoder, draw_source
from keras import ops
from layer_inputs import B, H, S, T, draw, draw_mask, numpy, weights
from tolerances import assert_close

from keras_performer.layers import PerformerDecoder


def masked(x, mask):
    x = x.copy()
    x[~mask] = 0
    return keras.layers.Masking()(ops.convert_to_tensor(x))


def stream(block, x, cuts, *source, mask=None, source_mask=None):
    """Outputs of the chunks between cuts, joined, and the last caches."""
    caches = {"self_attention_cache": block.initial_state(len(x))}
    if source:
        caches["cross_attention_cache"] = block.initial_cross_state(len(x))
        caches["cross_attention_cache_update_index"] = 0
    outputs, bounds = [], [0, *cuts, x.shape[1]]
    for start, end in itertools.pairwise(bounds):
        output, *states = block(
            x[:, start:end],
            *source,
            decoder_padding_mask=None if mask is None else mask[:, start:end],
            encoder_padding_mask=source_mask,
            self_attention_cache_update_index=start,
            **caches,
        )
        names = ("self_attention_cache", "cross_attention_cache")
        caches = dict(zip(names, states, strict=False))
        outputs.append(numpy(output))
    return np.concatenate(outputs, axis=1), caches


@pytest.mark.parametrize("crossed", [False, True], ids=["alone", "crossed"])
@pytest.mark.parametrize("normalize_first", [False, True])
def test_the_block_by_its_sublayers(normalize_first, crossed):
    block = built(crossed, normalize_first=normalize_first, activation="gelu")
    x, source = draw(B, T, F), draw_source(crossed)
    output = numpy(block(x, *source))

    def attend(x):
        return block._self_attention_layer(x, x, use_causal_mask=True)

    def attend_source(x):
        return block._cross_attention_layer(x, *source)

    def feed(x):
        x = keras.activations.gelu(
            ops.matmul(x, weights(block)["feedforward_intermediate_dense/kernel"])
            + weights(block)["feedforward_intermediate_dense/bias"]
        )
        return block._feedforward_output_dense(x)

    branches = [("self_attention", attend), ("feedforward", feed)]
    if crossed:
        branches.insert(1, ("cross_attention", attend_source))
    x = ops.convert_to_tensor(x)
    for name, branch in branches:
        norm = getattr(block, f"_{name}_layer_norm")
        x = x + branch(norm(x)) if normalize_first else norm(x + branch(x))
    assert_close(output, numpy(x))


def test_causality_is_the_default():
    block, x = built(False), draw(B, T, F)
    changed = np.concatenate([x[:, :5], draw(B, T - 5, F, seed=1)], axis=1)
    before, after = (numpy(block(inputs))[:, :5] for inputs in (x, changed))
    assert_close(after, before)
    before, after = (
        numpy(block(inputs, use_causal_mask=False))[:, :5] for inputs in (x, changed)
    )
    assert np.min(np.abs(after - before).max(axis=(0, 2))) > 1e-3


@pytest.mark.parametrize("normalize_first", [False, True])
@pytest.mark.parametrize("kind", ["padding_mask", "attention_mask", "implicit"])
def test_padded_is_as_unpadded(normalize_first, kind):
    block = built(True, normalize_first=normalize_first)
    sequences = [draw(B, T, F), *draw_source(True)]
    hidden = [draw_mask(T), draw_mask(S, seed=1)]
    if kind == "implicit":
        output = block(*map(masked, sequences, hidden))
    else:
        names = (f"decoder_{kind}", f"encoder_{kind}")
        given = [m[:, None] if kind == "attention_mask" else m for m in hidden]
        output = block(*sequences, **dict(zip(names, given, strict=True)))
    for row in range(B):
        pairs = zip(sequences, hidden, strict=True)
        alone = (x[row : row + 1, mask[row]] for x, mask in pairs)
        actual = numpy(output)[row : row + 1, hidden[0][row]]
        assert_close(actual, numpy(block(*alone)))


def test_attention_masks_are_key_masks():
    block = built(True)
    inputs = [draw(B, T, F), *draw_source(True)]
    for name, length in (("decoder", T), ("encoder", S)):
        mask, other = draw_mask(length), draw_mask(length, seed=1)
        padding, attention = f"{name}_padding_mask", f"{name}_attention_mask"
        expected = numpy(block(*inputs, **{padding: mask & other}))
        assert not np.allclose(expected, numpy(block(*inputs, **{padding: mask})))
        both = block(*inputs, **{padding: mask, attention: other[:, None]})
        assert np.array_equal(numpy(both), expected)
        with pytest.raises(ValueError, match=f"`{attention}` must be a key mask"):
            block(*inputs, **{attention: np.ones((B, T, length), "bool")})
        with pytest.raises(ValueError, match=f"`{attention}` must be a key mask"):
            block(*inputs, **{attention: mask})
        with pytest.raises(ValueError, match=f"`{padding}` must have the shape"):
            block(*inputs, **{padding: mask[:, None]})


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("normalize_first", [False, True])
def test_the_mask_passes_on(normalize_first, cached):
    block, mask = built(True, normalize_first=normalize_first), draw_mask(T)
    arguments = {}
    if cached:
        arguments = {
            "self_attention_cache": block.initial_state(B),
            "cross_attention_cache": block.initial_cross_state(B),
        }
    output = block(masked(draw(B, T, F), mask), *draw_source(True), **arguments)
    output = output[0] if cached else output
    assert np.array_equal(numpy(output._keras_mask), mask)
    output = block(draw(B, T, F), *draw_source(True))
    assert getattr(output, "_keras_mask", None) is None


@pytest.mark.parametrize("cuts", [(), (5,), (1, 2, 9), tuple(range(1, T))], ids=str)
@pytest.mark.parametrize("crossed", [False, True], ids=["alone", "crossed"])
def test_any_cut_gives_the_whole(crossed, cuts):
    block = built(crossed, normalize_first=crossed)
    x, source = draw(B, T, F), draw_source(crossed)
    mask = draw_mask(S) if crossed else None
    whole = numpy(block(x, *source, encoder_padding_mask=mask))
    actual, _ = stream(block, x, cuts, *source, source_mask=mask)
    assert_close(actual, whole)


@pytest.mark.parametrize("cuts", [(5,), tuple(range(1, T))], ids=str)
def test_positions_window_and_groups_go_on_from_a_cache(cuts):
    block = decoder(rotary_base=100, exact_window=3, num_key_value_heads=1)
    block.build((None, None, 4 * H), (None, None, FS))  # heads that can be rotated
    x, source = draw(B, T, 4 * H), draw_source(True)
    mask = np.arange(T) >= np.array([0, 2])[:, None]
    whole = numpy(block(x, *source, decoder_padding_mask=mask))
    actual, _ = stream(block, x, cuts, *source, mask=mask)
    assert_close(actual[mask], whole[mask])


def test_rows_of_unequal_length_are_padded_on_the_left():
    block, lengths = built(False), (T, 4)
    x = draw(B, T, F)
    mask = np.arange(T) >= T - np.array(lengths)[:, None]
    padded, caches = stream(block, x, (6, 7), mask=mask)
    for row, length in enumerate(lengths):
        one = x[row : row + 1, T - length :]
        alone, expected = stream(block, one, ())
        assert_close(padded[row : row + 1, T - length :], alone)
        pairs = zip(*map(keras.tree.flatten, (caches, expected)), strict=True)
        for actual, part in pairs:
            assert_close(numpy(actual)[row : row + 1], numpy(part))


@pytest.mark.slow
def test_a_loop_of_the_backend_gives_the_whole():
    block = built(True)
    x, source = map(ops.convert_to_tensor, (draw(B, T, F), *draw_source(True)))
    whole = block(x, source)

    def decode(x, source):
        start, state, summary = block(
            x[:, :3],
            source,
            self_attention_cache=block.initial_state(B),
            self_attention_cache_update_index=0,
            cross_attention_cache=block.initial_cross_state(B),
            cross_attention_cache_update_index=0,
        )
        outputs = ops.slice_update(ops.zeros((B, T, F)), (0, 0, 0), start)

        zero = ops.zeros((), dtype="int32")  # JAX slices by indices of one dtype

        def body(index, outputs, state, summary):
            step, state, summary = block(
                ops.slice(x, (zero, index, zero), (B, 1, F)),
                source,
                self_attention_cache=state,
                self_attention_cache_update_index=index,
                cross_attention_cache=summary,
            )
            outputs = ops.slice_update(outputs, (zero, index, zero), step)
            return index + 1, outputs, state, summary

        index = ops.convert_to_tensor(3, dtype="int32")
        # A loop's values keep their structure, shapes and dtypes, or it refuses them.
        return ops.while_loop(
            lambda index, *_: index < T, body, (index, outputs, state, summary)
        )[1]

    assert_close(numpy(decode(x, source)), numpy(whole))
    for compiled in compilers.wrappers():
        assert_close(numpy(compiled(decode)(x, source)), numpy(whole))


def test_a_step_may_be_a_functional_model():
    block = built(True)
    caches = (block.initial_state(B), block.initial_cross_state(B))
    symbols = keras.tree.map_structure(
        lambda x: keras.Input(x.shape[1:], dtype=x.dtype), caches
    )
    inputs = [keras.Input((1, F)), keras.Input((None, FS))]
    names = ("self_attention_cache", "cross_attention_cache")
    outputs = block(*inputs, **dict(zip(names, symbols, strict=True)))
    model = keras.Model([*inputs, symbols], outputs)
    sequences = [draw(B, 1, F), *draw_source(True)]
    actual = model([*map(ops.convert_to_tensor, sequences), caches])
    expected = block(*sequences, **dict(zip(names, caches, strict=True)))
    pairs = zip(*map(keras.tree.flatten, (actual, expected, outputs)), strict=True)
    for a, b, symbol in pairs:
        assert np.array_equal(numpy(a), numpy(b))
        assert symbol.shape[1:] == tuple(a.shape[1:])
        assert symbol.dtype == keras.backend.standardize_dtype(a.dtype)


def test_the_summary_of_the_source_is_reused():
    block, x = built(True), draw(B, 1, F)
    whole, caches = stream(block, x, (), *draw_source(True))
    caches["self_attention_cache"] = block.initial_state(B)
    other = draw(B, 3, FS, seed=5)
    output, *_ = block(x, other, **caches)
    assert_close(numpy(output), whole)
    output, *_ = block(x, other, **caches, cross_attention_cache_update_index=0)
    assert_close(numpy(output), numpy(block(x, other)))


def test_states_stay_in_float32_and_of_one_size():
    block = built(True, dtype="mixed_bfloat16")
    shapes = []
    for length in (1, 40):
        _, caches = stream(block, draw(B, length, F), (), *draw_source(True))
        flat = keras.tree.flatten(caches)
        shapes.append([tuple(x.shape) for x in flat])
        dtypes = {keras.backend.standardize_dtype(x.dtype) for x in flat}
        assert dtypes == {"float32", "int32"}
    assert shapes[0] == shapes[1]
    assert all(shape[0] == B for shape in shapes[0])


def test_a_head_has_a_feature():
    with pytest.raises(ValueError, match=r"as many as `num_heads`.*\(2, 13, 2\)"):
        decoder().build((B, T, 2))


def test_dropout_acts_in_training_only():
    block, x = built(True, dropout=0.5), draw(B, T, F)
    plain = numpy(block(x, *draw_source(True)))
    assert np.array_equal(plain, numpy(block(x, *draw_source(True), training=False)))
    assert not np.any(numpy(block(x, *draw_source(True), training=True)) == plain)


def test_sublayers_draw_independently():
    block = built(
        True,
        dropout=0.5,
        kernel_initializer=keras.initializers.RandomNormal(seed=3),
        bias_initializer=keras.initializers.RandomNormal(seed=4),
    )
    ones = np.ones((B, T, F), "float32")
    dropouts = (
        block._self_attention_layer._dropout_layer,
        block._self_attention_dropout,
        block._cross_attention_layer._dropout_layer,
        block._cross_attention_dropout,
        block._feedforward_dropout,
    )
    drawn = [numpy(layer(ones, training=True)) for layer in dropouts]
    drawn += [numpy(w) for path, w in weights(block).items() if "norm" not in path]
    for i, first in enumerate(drawn):
        assert not any(np.array_equal(first, other) for other in drawn[:i])


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
    parameters = set(inspect.signature(PerformerDecoder.__init__).parameters)
    assert parameters - {"self", "kwargs"} <= set(ARGUMENTS)
    config = json.loads(json.dumps(PerformerDecoder(**ARGUMENTS).get_config()))
    restored = PerformerDecoder.from_config(config)
    assert json.loads(json.dumps(restored.get_config())) == config
    assert restored.dtype_policy.name == "mixed_bfloat16"
    defaults = PerformerDecoder(HIDDEN, H).get_config()
    same = {"intermediate_dim", "num_heads", "feature_map", "attention"}
    for name in set(ARGUMENTS) - same:
        assert defaults[name] != config[name], name
    exact = PerformerDecoder(HIDDEN, H, attention="exact").get_config()
    assert PerformerDecoder.from_config(exact).attention == "exact"


def test_arguments_reach_the_sublayers():
    # Heads of 5 features cannot be rotated.
    block = PerformerDecoder(**{**ARGUMENTS, "rotary_base": None, "exact_window": None})
    block.build((B, T, F), (B, S, FS))
    for name in ("self_attention", "cross_attention"):
        layer = getattr(block, f"_{name}_layer")
        assert layer.num_features == 19
        assert layer.dropout == 0.25
        assert layer.get_config()["projection"] == "gaussian"
        assert layer.key_dim == F // H
        assert getattr(block, f"_{name}_dropout").rate == 0.25
        assert getattr(block, f"_{name}_layer_norm").epsilon == 1e-3
    assert block._self_attention_layer.num_key_value_heads == 1
    assert block._cross_attention_layer.num_key_value_heads == H
    for path, weight in weights(block).items():
        if path.endswith("bias") and "forget" not in path:
            assert np.all(numpy(weight) == 0.5), path
    assert block._feedforward_gate_dense.activation is keras.activations.gelu
    for sublayer in block._flatten_layers(include_self=False):
        assert sublayer.dtype_policy.name == "mixed_bfloat16", sublayer.name


def test_a_saved_model_of_two_inputs_comes_back(tmp_path):
    inputs = [keras.Input((None, F)), keras.Input((None, FS))]
    model = keras.Model(inputs, decoder(seed=None)(*inputs))
    batch = [draw(B, T, F), *draw_source(True)]
    model.save(tmp_path / "model.keras")
    restored = keras.saving.load_model(tmp_path / "model.keras")
    assert np.array_equal(numpy(restored(batch)), numpy(model(batch)))


def test_weight_paths(snapshot):
    block = built(True, name="performer_decoder", num_features=None)
    snapshot(
        "performer_decoder_weights", {w.path: list(w.shape) for w in block.weights}
    )


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "float64"])
def test_dtype_policies(policy):
    block = decoder(dtype=policy, normalize_first=True)
    inputs = [keras.Input((None, F)), keras.Input((None, FS))]
    model = keras.Model(inputs, block(*inputs))
    batch = [draw(B, T, F), *draw_source(True)]
    expected = keras.DTypePolicy(policy).compute_dtype
    for output in (model(batch), block(*batch)):
        assert keras.backend.standardize_dtype(output.dtype) == expected
    model.compile("sgd", "mse", jit_compile=False)
    assert np.isfinite(model.train_on_batch(batch, batch[0]))
    assert all(np.all(np.isfinite(numpy(w))) for w in model.weights)


@pytest.mark.parametrize("name", ["num_heads", "intermediate_dim"])
def test_sizes_are_checked(name):
    with pytest.raises(ValueError, match=name):
        decoder(**{name: 0})
