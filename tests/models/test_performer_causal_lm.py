"""`PerformerCausalLM`: logits of what follows, from what came before alone."""

import json

import keras
import numpy as np
import pytest
from test_performer_backbone import (
    VOCABULARY,
    T,
    backbone,
    draw_ids,
    randomize,
    run,
    values,
)
from tolerances import assert_close

from keras_performer.models import PerformerBackbone, PerformerCausalLM

POSITIONS = [
    {"positions": "rotary"},
    {"positions": "sinusoidal"},
    {"positions": "learned", "max_sequence_length": 90},
]


def language_model(**arguments):
    return randomize(PerformerCausalLM(backbone(causal=True, **arguments)))


def test_logits_are_of_the_tied_embedding():
    model = language_model()
    ids = draw_ids(2, T)
    logits = run(model, ids)
    hidden_states = run(model.backbone, ids).astype("float64")
    embeddings = keras.ops.convert_to_numpy(model.backbone.token_embedding.embeddings)
    assert_close(logits, hidden_states @ embeddings.T)
    assert len(model.weights) == len(model.backbone.weights)


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16", "float64"])
def test_logits_are_float32(dtype):
    model = PerformerCausalLM(backbone(causal=True, dtype=dtype))
    logits = model(draw_ids(2, T))
    assert tuple(logits.shape) == (2, T, VOCABULARY)
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"
    assert model.output.dtype == "float32"


@pytest.mark.parametrize("arguments", POSITIONS, ids=str)
def test_only_what_came_before_counts(arguments):
    model = language_model(**arguments)
    ids = draw_ids(1, T)
    logits = run(model, ids)
    other = ids.copy()
    other[:, 7:] = draw_ids(1, T - 7, seed=1)
    assert np.array_equal(run(model, other)[:, :7], logits[:, :7])
    assert not np.allclose(run(model, other)[:, 7], logits[:, 7], atol=1e-3)
    padded = np.pad(ids, [(0, 0), (0, 70)])
    assert_close(run(model, padded)[:, :T], logits)


@pytest.mark.parametrize("arguments", POSITIONS, ids=str)
def test_positions_count(arguments):
    ids = draw_ids(1, T)
    swapped = ids[:, [1, 0, *range(2, T)]]
    model = language_model(num_layers=1, **arguments)
    assert not np.allclose(
        run(model, ids)[:, -1], run(model, swapped)[:, -1], atol=1e-4
    )


@pytest.mark.parametrize("arguments", POSITIONS[::2], ids=str)
def test_left_padding_shifts_nothing(arguments):
    model = language_model(**arguments)
    ids = draw_ids(1, T)
    padded = np.pad(ids, [(0, 0), (11, 0)])
    assert_close(run(model, padded)[:, 11:], run(model, ids))


@pytest.mark.slow
def test_it_learns_to_count():
    model = PerformerCausalLM(
        PerformerBackbone(11, 1, 2, 16, 32, dropout=0.0, causal=True, seed=0)
    )
    rows = 1 + (np.arange(10)[:, None] + np.arange(9)) % 10
    rows[::2, 6:] = 0  # padding, which must not be learned
    weights = (rows[:, 1:] != 0).astype("float32")
    model.compile(
        keras.optimizers.Adam(0.02),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,
    )
    fitted = model.fit(
        rows[:, :-1], rows[:, 1:], sample_weight=weights, epochs=40, verbose=0
    )
    assert fitted.history["loss"][-1] < 0.1 * fitted.history["loss"][0]
    tokens = model.generate([[3, 4]], 5)
    assert tokens.tolist() == [[5, 6, 7, 8, 9]]


def test_a_backbone_that_sees_what_follows_is_refused():
    with pytest.raises(ValueError, match="must be made with `causal=True`"):
        PerformerCausalLM(backbone())


def test_round_trip():
    model = language_model(
        feature_map=["softmax", "relu"], exact_window=(None, 3), name="other_backbone"
    )
    config = json.loads(json.dumps(model.get_config()))
    restored = PerformerCausalLM.from_config(config)
    assert json.loads(json.dumps(restored.get_config())) == config
    assert list(values(restored)) == list(values(model))
    blocks = restored.backbone.blocks
    assert [block.feature_map for block in blocks] == restored.backbone.feature_map
    assert [block.exact_window for block in blocks] == [None, 3]
    assert restored.backbone.redraws
    assert not language_model(feature_map=["relu", "relu"]).backbone.redraws


@pytest.mark.parametrize("arguments", POSITIONS, ids=str)
def test_saved_and_loaded(tmp_path, arguments):
    model = language_model(seed=None, **arguments)
    model.save(tmp_path / "model.keras")
    restored = keras.saving.load_model(tmp_path / "model.keras")
    ids = draw_ids(2, T)
    assert np.array_equal(run(restored, ids), run(model, ids))
    assert restored.backbone.get_config() == model.backbone.get_config()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"positions": "absolute"}, "`positions` must be one of"),
        ({"positions": "learned"}, "`max_sequence_length` is for"),
        ({"max_sequence_length": 90}, "`max_sequence_length` is for"),
        (
            {"positions": "learned", "max_sequence_length": 0},
            "`max_sequence_length` must be a positive integer",
        ),
        ({"feature_map": ["relu"] * 3}, "one for each of the 2. Received: 3 entries"),
        ({"exact_window": [3]}, "one for each of the 2. Received: 1 entries"),
    ],
    ids=str,
)
def test_backbones_that_cannot_be(arguments, message):
    with pytest.raises(ValueError, match=message):
        backbone(**arguments)


def test_a_sequence_beyond_the_learned_positions():
    model = language_model(positions="learned", max_sequence_length=5)
    with pytest.raises(ValueError, match="longer than the positions that are learned"):
        model(draw_ids(1, 6))


def test_weight_paths(snapshot):
    model = PerformerCausalLM(
        backbone(causal=True, positions="learned", max_sequence_length=31)
    )
    snapshot(
        "performer_causal_lm_weights", {w.path: list(w.shape) for w in model.weights}
    )
