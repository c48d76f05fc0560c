"""`PerformerSeq2SeqBackbone`: hidden states of a target, which sees a source."""

import inspect
import json

import h5py
import keras
import numpy as np
import pytest
from test_performer_backbone import VOCABULARY, draw_ids, randomize, values
from tolerances import assert_close

from keras_performer import feature_maps
from keras_performer.models import PerformerSeq2SeqBackbone

S, T = 11, 7
STREAMING = [
    {"positions": "learned", "max_sequence_length": 31, "num_layers": 1},
    {
        "positions": "rotary",
        "feature_map": ["softmax", "relu"],
        "exact_window": [None, 3],
        "num_key_value_heads": 1,
        "max_wavelength": 50,
    },
    {"normalize_first": False, "normalization": "rms_norm", "num_layers": 1},
]


def seq2seq_backbone(**arguments):
    defaults = {
        "vocabulary_size": VOCABULARY,
        "num_layers": 2,
        "num_heads": 3,
        "hidden_dim": 18,
        "intermediate_dim": 23,
        "seed": 0,
    }
    return PerformerSeq2SeqBackbone(**{**defaults, **arguments})


def inputs(source, target):
    return {"encoder_token_ids": source, "decoder_token_ids": target}


def run(model, source, target, **arguments):
    """The decoder's hidden states, as an array."""
    outputs = model(inputs(source, target), **arguments)
    return keras.ops.convert_to_numpy(outputs["decoder_sequence_output"])


@pytest.fixture(scope="module")
def model():
    return randomize(seq2seq_backbone(num_layers=1))


def test_the_encoder_is_a_backbone_that_sees_all(model):
    source, target = draw_ids(2, S), draw_ids(2, T, seed=1)
    outputs = model(inputs(source, target))
    assert outputs["decoder_sequence_output"].shape == (2, T, 18)
    assert_close(
        keras.ops.convert_to_numpy(outputs["encoder_sequence_output"]),
        keras.ops.convert_to_numpy(model.encoder(source)),
    )
    other = source.copy()
    other[:, -1] = 1 + other[:, -1] % (VOCABULARY - 1)
    difference = run(model, other, target) - run(model, source, target)
    assert np.all(np.abs(difference).max(axis=2) > 1e-4)  # at each position


def test_there_is_one_token_embedding(model):
    paths = [path for path in values(model) if path.endswith("embeddings")]
    assert paths == [model.token_embedding.embeddings.path]


@pytest.mark.parametrize("arguments", STREAMING, ids=str)
def test_padding_changes_nothing(arguments):
    model = randomize(seq2seq_backbone(**arguments))
    source, target = draw_ids(1, S), draw_ids(1, T, seed=1)
    alone = run(model, source, target)
    padded_source = np.pad(source, [(0, 0), (0, 19)])
    padded_target = np.pad(target, [(0, 0), (0, 20)])
    padded = run(model, padded_source, padded_target)
    assert_close(padded[:, :T], alone)
    batch = run(
        model,
        np.concatenate([padded_source, draw_ids(2, 30, seed=2)]),
        np.concatenate([padded_target, draw_ids(2, 27, seed=3)]),
    )
    assert_close(batch[:1, :T], alone)


def test_padding_on_the_left_changes_nothing(model):
    source, target = draw_ids(1, S), draw_ids(1, T, seed=1)
    alone = run(model, source, target)
    left = [(0, 0), (3, 0)]
    padded = run(model, np.pad(source, left), np.pad(target, left))
    assert_close(padded[:, 3:], alone)


def test_a_target_position_sees_only_what_came_before(model):
    source, target = draw_ids(1, S), draw_ids(1, T, seed=1)
    hidden_states = run(model, source, target)
    target[:, 4:] = 1 + target[:, 4:] % (VOCABULARY - 1)
    other = run(model, source, target)
    assert np.array_equal(other[:, :4], hidden_states[:, :4])
    assert not np.allclose(other[:, 4], hidden_states[:, 4], atol=1e-3)


@pytest.mark.parametrize("positions", ["sinusoidal", "rotary", "learned"])
def test_positions_count_in_both_stacks(positions):
    longest = S if positions == "learned" else None
    model = randomize(
        seq2seq_backbone(positions=positions, max_sequence_length=longest, num_layers=1)
    )
    source, target = draw_ids(1, S), draw_ids(1, T, seed=1)
    hidden_states = run(model, source, target)[:, -1]
    reversed_source = run(model, source[:, ::-1], target)[:, -1]
    assert not np.allclose(reversed_source, hidden_states, atol=1e-4)
    swapped = run(model, source, target[:, [1, 0, *range(2, T)]])[:, -1]
    assert not np.allclose(swapped, hidden_states, atol=1e-4)


@pytest.mark.parametrize("arguments", STREAMING, ids=str)
def test_a_stream_gives_what_the_whole_gives(arguments):
    model = randomize(seq2seq_backbone(**arguments))
    source, target = draw_ids(2, S), draw_ids(2, T, seed=1)
    source[1, 5:] = 0
    expected = run(model, source, target)
    state = model.initial_state(source)
    shapes = keras.tree.map_structure(lambda x: (x.shape, x.dtype), state)
    spans = [np.pad(target[:, :3], [(0, 0), (4, 0)]), target[:, 3:4], target[:, 4:]]
    hidden_states = []
    for span in spans:
        output, state = model.stream(span, state)
        hidden_states.append(keras.ops.convert_to_numpy(output))
        assert keras.tree.map_structure(lambda x: (x.shape, x.dtype), state) == shapes
    assert_close(np.concatenate(hidden_states, axis=1)[:, 4:], expected)


def test_the_state_does_not_grow_with_the_source(model):
    shapes = [
        keras.tree.map_structure(lambda x: x.shape, model.initial_state(draw_ids(2, s)))
        for s in (1, 300)
    ]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize(("source", "target"), [(0, T), (S, 0), (0, 0), (300, 1)])
def test_any_length(model, source, target):
    output = run(model, draw_ids(2, source), draw_ids(2, target))
    assert output.shape == (2, target, 18)
    assert np.all(np.isfinite(output))
    only_padding = run(model, np.zeros((2, S), "int32"), draw_ids(2, T))
    assert np.all(np.isfinite(only_padding))


def test_the_outputs_are_masked(model):
    source, target = draw_ids(2, S), draw_ids(2, T)
    source[0, 5:] = target[1, 3:] = 0
    outputs = model(inputs(source, target))
    for name, ids in (("encoder", source), ("decoder", target)):
        mask = outputs[f"{name}_sequence_output"]._keras_mask
        assert np.array_equal(keras.ops.convert_to_numpy(mask), ids != 0), name


def test_dropout_acts_in_training_only():
    model = randomize(seq2seq_backbone(dropout=0.5, num_layers=1))
    source, target = draw_ids(2, S), draw_ids(2, T)
    plain = run(model, source, target)
    assert np.array_equal(plain, run(model, source, target, training=False))
    assert not np.any(plain == run(model, source, target, training=True))


@pytest.mark.parametrize("seed", [None, 0])
@pytest.mark.parametrize("kind", ["projection", "embeddings", "kernel"])
def test_no_two_weights_start_equal(kind, seed):
    model = seq2seq_backbone(
        seed=seed,
        positions="learned",
        max_sequence_length=31,
        feature_map="softmax",
    )
    drawn = [v for path, v in values(model).items() if path.endswith(kind)]
    assert len(drawn) >= 3
    for i, value in enumerate(drawn):
        for other in drawn[:i]:
            assert not np.any(value.ravel()[:50] == other.ravel()[:50])


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
    "positions": "rotary",
    "max_sequence_length": None,
    "position_scale": None,
    "exact_window": [None, 5],
    "num_key_value_heads": 1,
    "attention": ["linear", "linear"],
    "block": {"short_convolution": 3, "output_gate": "silu"},
    "activation": keras.activations.relu,
    "normalize_first": False,
    "normalization": "rms_norm",
    "feedforward": "gated",
    "feedforward_chunk": 3,
    "remat": True,
    "tie_embeddings": False,
    "name": "other_name",
    "trainable": False,
}


def test_round_trip_of_every_argument():
    parameters = set(inspect.signature(PerformerSeq2SeqBackbone.__init__).parameters)
    assert parameters - {"self", "kwargs"} <= set(ARGUMENTS)
    model = PerformerSeq2SeqBackbone(**ARGUMENTS)
    config = json.loads(json.dumps(model.get_config()))
    assert set(ARGUMENTS) == set(config)
    restored = PerformerSeq2SeqBackbone.from_config(config)
    assert json.loads(json.dumps(restored.get_config())) == config
    for path, value in values(model).items():
        assert np.array_equal(value, values(restored)[path]), path
    for name, argument in ARGUMENTS.items():
        if name != "dtype":
            assert getattr(restored, name) == argument, name
    assert seq2seq_backbone().get_config()["positions"] is None


OPTIONS = ["activation", "normalize_first", "normalization", "feedforward"]
OPTIONS += ["feedforward_chunk", "remat"]


def test_arguments_reach_the_layers():
    model = PerformerSeq2SeqBackbone(**ARGUMENTS)
    assert not model.trainable_weights
    assert model.redraws
    assert not seq2seq_backbone(feature_map="relu").redraws
    assert model.get_layer("decoder_embedding_dropout").rate == 0.25
    blocks = [*model.encoder.blocks, *model.decoder_blocks]
    assert [block.exact_window for block in blocks] == [None, 5] * 2
    for block in blocks:
        assert block.dropout == 0.25
        assert block.num_features == 19
        assert block.num_key_value_heads == 1
        assert block.rotary_base == 100
        for name in OPTIONS:
            assert getattr(block, name) == ARGUMENTS[name], name
        assert block.feature_map == feature_maps.Softmax()
    for layer in [*model.encoder.layers[1:], *model.decoder_blocks]:
        assert layer.dtype_policy.name == "mixed_bfloat16", layer.name


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16", "float64"])
def test_dtype_policies(dtype):
    model = seq2seq_backbone(dtype=dtype, num_layers=1)
    source, target = draw_ids(2, S), draw_ids(2, T)
    output = model(inputs(source, target))["decoder_sequence_output"]
    expected = keras.DTypePolicy(dtype).compute_dtype
    assert keras.backend.standardize_dtype(output.dtype) == expected
    streamed, _ = model.stream(target, model.initial_state(source))
    for each in (output, streamed):
        each = keras.ops.convert_to_numpy(keras.ops.cast(each, "float32"))
        assert np.all(np.isfinite(each))


def test_inputs_that_are_refused(model):
    with pytest.raises(ValueError, match=r"Missing.*decoder_token_ids"):
        model({"encoder_token_ids": draw_ids(2, S)})
    with pytest.raises(ValueError, match="must be equal in the batch"):
        model(inputs(draw_ids(2, S), draw_ids(3, T)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"positions": "sinusoidal"}, "'rotary' or 'learned'.*'sinusoidal'"),
        ({"attention": "exact"}, "whose state does not grow"),
    ],
    ids=str,
)
def test_decoders_that_cannot_stream(arguments, message):
    model = seq2seq_backbone(num_layers=1, **arguments)
    assert np.all(np.isfinite(run(model, draw_ids(2, S), draw_ids(2, T))))
    with pytest.raises(ValueError, match=message):
        model.initial_state(draw_ids(2, S))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"positions": "absolute"}, "`positions` must be one of"),
        ({"positions": "learned"}, "`max_sequence_length` is for"),
        ({"feature_map": ["relu"] * 3}, "one for each of the 2. Received: 3 entries"),
    ],
    ids=str,
)
def test_backbones_that_cannot_be(arguments, message):
    with pytest.raises(ValueError, match=message):
        seq2seq_backbone(**arguments)


def test_files_name_learned_positions_by_an_old_name(tmp_path):
    arguments = {"positions": "learned", "max_sequence_length": 31, "num_layers": 1}
    model = randomize(seq2seq_backbone(**arguments))
    path = tmp_path / "model.weights.h5"
    model.save_weights(path)
    with h5py.File(path, "a") as file:
        for group in (file["layers"], file["layers/performer_backbone/layers"]):
            group.move("position_embedding", "learned_positions")
    restored = seq2seq_backbone(**arguments)
    restored.load_weights(path)
    for path, value in values(model).items():
        assert np.array_equal(value, values(restored)[path]), path


def test_weight_paths(snapshot):
    model = seq2seq_backbone(positions="learned", max_sequence_length=31)
    snapshot(
        "performer_seq2seq_backbone_weights",
        {w.path: list(w.shape) for w in model.weights},
    )
