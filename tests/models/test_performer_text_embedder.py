"""`PerformerTextEmbedder`: unit vectors that training brings together."""

import inspect
import json

import keras
import numpy as np
import pytest
from test_performer_backbone import T, backbone, draw_ids, randomize, run, values
from tolerances import assert_close

from keras_performer.models import PerformerBackbone, PerformerTextEmbedder

E = 5


def embedder(embedding_dim=E, **arguments):
    model = PerformerTextEmbedder(backbone(**arguments), embedding_dim, seed=0)
    return randomize(model)


@pytest.fixture(scope="module")
def model():
    return embedder()


@pytest.mark.parametrize("embedding_dim", [None, E])
def test_the_way_from_hidden_states_to_embeddings(embedding_dim):
    model = embedder(embedding_dim)
    ids = draw_ids(2, T)
    ids[1, 6:] = 0
    hidden_states = run(model.backbone, ids).astype("float64")
    expected = np.stack(
        [v[i != 0].mean(axis=0) for v, i in zip(hidden_states, ids, strict=True)]
    )
    if embedding_dim is not None:
        kernel = model.get_layer("projection").kernel
        expected = expected @ keras.ops.convert_to_numpy(kernel)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    embeddings = run(model, ids)
    assert embeddings.shape == (2, embedding_dim or 18)
    assert embeddings.dtype == "float32"
    assert_close(embeddings, expected)


def test_alone_and_in_a_batch(model):
    ids = draw_ids(1, T)
    alone = run(model, ids)
    padded = np.pad(ids, [(0, 0), (0, 90)])
    assert_close(run(model, padded), alone)
    batch = np.concatenate([padded, draw_ids(3, T + 90, seed=1)])
    assert_close(run(model, batch)[:1], alone)
    assert not np.allclose(run(model, batch)[1:], alone, atol=0.01)


def test_a_document_without_any_token_is_zero(model):
    ids = draw_ids(2, T)
    ids[0] = 0
    embeddings = run(model, ids)
    assert not np.any(embeddings[0])
    assert np.allclose(np.linalg.norm(embeddings[1]), 1, atol=1e-6)
    assert not np.any(run(model, np.zeros((2, 0), "int32")))


def test_similarities_of_all_pairs(model):
    first, second = draw_ids(3, T), draw_ids(3, T + 4, seed=1)
    pairs = {"first_token_ids": first, "second_token_ids": second}
    expected = run(model, first).astype("float64") @ run(model, second).T / 0.2
    similarities = model.similarity_model(temperature=0.2)
    assert_close(run(similarities, pairs), expected)
    assert len(similarities.weights) == len(model.weights)


@pytest.mark.slow
def test_training_brings_pairs_together():
    # A pair has the tokens of one topic: of one eighth of the vocabulary.
    generator = np.random.default_rng(0)
    topics = np.arange(8)

    def draw():
        return 1 + 4 * topics[:, None] + generator.integers(0, 4, (8, 2))

    def accuracy():
        first, second = (run(model, ids) for ids in held_out)
        return np.mean((first @ second.T).argmax(axis=1) % 8 == np.arange(64) % 8)

    model = PerformerTextEmbedder(
        PerformerBackbone(33, 1, 2, 16, 32, dropout=0.0, seed=0), E, seed=0
    )
    held_out = [np.concatenate([draw() for _ in range(8)]) for _ in range(2)]
    before = accuracy()  # what tokens in common give
    pairs = model.similarity_model()
    pairs.compile(
        keras.optimizers.Adam(0.02),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=keras.backend.backend() == "jax",
    )
    for _ in range(150):
        pair = {"first_token_ids": draw(), "second_token_ids": draw()}
        pairs.train_on_batch(pair, topics)
    assert before < 0.8 < 0.9 < accuracy()


def test_training_survives_a_document_without_any_token():
    model = embedder(num_layers=1)
    ids = draw_ids(2, T)
    ids[0] = 0
    pairs = model.similarity_model()
    pairs.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    pairs.run_eagerly = True
    pairs.train_on_batch(
        {"first_token_ids": ids, "second_token_ids": ids}, np.arange(2)
    )
    for path, value in values(model).items():
        assert np.all(np.isfinite(value)), path


def test_round_trip_of_every_argument():
    arguments = {
        "backbone": backbone(name="other_backbone"),
        "embedding_dim": E,
        "seed": 3,
        "name": "other_name",
        "trainable": False,
    }
    parameters = set(inspect.signature(PerformerTextEmbedder.__init__).parameters)
    assert parameters - {"self", "kwargs"} <= set(arguments)
    model = PerformerTextEmbedder(**arguments)
    config = json.loads(json.dumps(model.get_config()))
    assert set(config) == set(arguments)
    restored = PerformerTextEmbedder.from_config(config)
    assert json.loads(json.dumps(restored.get_config())) == config
    assert not restored.trainable_weights
    for path, value in values(model).items():
        assert np.array_equal(value, values(restored)[path]), path


def test_saved_and_loaded(model, tmp_path):
    model.save(tmp_path / "model.keras")
    restored = keras.saving.load_model(tmp_path / "model.keras")
    assert type(restored) is PerformerTextEmbedder
    ids = draw_ids(3, T)
    assert np.array_equal(run(restored, ids), run(model, ids))


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16", "float64"])
def test_embeddings_are_float32_unit_vectors_under_every_policy(dtype):
    embeddings = run(embedder(dtype=dtype, num_layers=1), draw_ids(2, T))
    assert embeddings.dtype == "float32"
    assert np.allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("embedding_dim", [0, -3, 2.0])
def test_sizes_that_are_refused(embedding_dim):
    with pytest.raises(ValueError, match="`embedding_dim` must be a positive integer"):
        PerformerTextEmbedder(backbone(), embedding_dim)


@pytest.mark.parametrize("temperature", [0, -1.0, float("nan")])
def test_temperatures_that_are_refused(model, temperature):
    with pytest.raises(ValueError, match="`temperature` must be a positive number"):
        model.similarity_model(temperature)


def test_weight_paths(snapshot):
    model = PerformerTextEmbedder(backbone(), E)
    snapshot(
        "performer_text_embedder_weights",
        {w.path: list(w.shape) for w in model.weights},
    )
