"""What a backbone can be made of, and rows that hold several sequences."""

import keras
import numpy as np
import pytest
from tolerances import assert_close

from keras_performer.models import PerformerBackbone, PerformerCausalLM

VOCABULARY, T = 29, 13
OPTIONS = [
    {},
    {"normalization": "rms_norm", "feedforward": "gated", "feedforward_chunk": 5},
    {"normalize_first": False, "normalization": "rms_norm"},
    {"attention": ["exact", "linear"], "exact_window": 3, "feature_map": "relu"},
    {"positions": "learned", "max_sequence_length": 20},
    {"positions": "sinusoidal", "max_wavelength": 50},
    {"remat": True, "tie_embeddings": False},
]


def backbone(**arguments):
    defaults = {
        "vocabulary_size": VOCABULARY,
        "num_layers": 2,
        "num_heads": 3,
        "hidden_dim": 18,
        "intermediate_dim": 23,
        "dropout": 0.0,
        "seed": 0,
    }
    model = PerformerBackbone(**{**defaults, **arguments})
    generator = np.random.default_rng(0)
    for weight in model.trainable_weights:  # as large as those of a trained model
        weight.assign(weight + 0.3 * generator.standard_normal(weight.shape))
    return model


def draw_ids(*shape, seed=0):
    return np.random.default_rng(seed).integers(1, VOCABULARY, shape).astype("int32")


def run(model, inputs, **arguments):
    return keras.ops.convert_to_numpy(model(inputs, **arguments))


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("options", OPTIONS)
def test_packed_sequences_are_as_each_alone(options, causal):
    packed = backbone(causal=causal, packed=True, **options)
    alone = backbone(causal=causal, **options)
    ids = draw_ids(2, T)
    ids[1, -3:] = 0
    segments = np.array([[1] * 5 + [2] * 8, [1] * 10 + [0] * 3], "int32")
    output = run(packed, {"token_ids": ids, "segment_ids": segments})
    for row, start, stop in [(0, 0, 5), (0, 5, T), (1, 0, 10)]:
        expected = run(alone, ids[row : row + 1, start:stop])
        assert_close(output[row : row + 1, start:stop], expected)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("options", OPTIONS)
def test_padding_changes_nothing(options, causal):
    model, ids = backbone(causal=causal, **options), draw_ids(2, T)
    padded = np.pad(ids, [(0, 0), (0, 6)])
    assert_close(run(model, padded)[:, :T], run(model, ids))
    mask = model(padded)._keras_mask
    assert np.array_equal(keras.ops.convert_to_numpy(mask), padded != 0)


@pytest.mark.parametrize("options", OPTIONS)
def test_a_stream_is_as_the_whole(options):
    if "attention" in options:
        options = {**options, "attention": "linear"}
    if options.get("positions") == "sinusoidal":
        pytest.skip("these positions do not go on from a state")
    model, ids = backbone(causal=True, **options), draw_ids(2, T)
    start, state = model.stream(ids[:, :8], model.initial_state(2))
    rest, _ = model.stream(ids[:, 8:], state)
    both = keras.ops.convert_to_numpy(keras.ops.concatenate([start, rest], axis=1))
    assert_close(both, run(model, ids))


def test_exact_blocks_do_not_generate():
    model = PerformerCausalLM(backbone(attention=["linear", "exact"], causal=True))
    with pytest.raises(ValueError, match="whose state does not grow"):
        model.generate([[1, 2]], max_new_tokens=2)


@pytest.mark.slow
def test_recomputed_blocks_train_alike():
    ids, losses = draw_ids(4, T), []
    for remat in (False, True):
        model = PerformerCausalLM(backbone(causal=True, remat=remat, dropout=0.2))
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.1), loss, jit_compile=False)
        losses.append(
            [float(model.train_on_batch(ids[:, :-1], ids[:, 1:])) for _ in range(4)]
        )
    assert losses[0][-1] < losses[0][0]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-4)


def test_logits_by_other_weights():
    ids = draw_ids(2, T)
    tied, own = (
        PerformerCausalLM(backbone(causal=True, tie_embeddings=tie))
        for tie in (True, False)
    )
    extra = {w.path for w in own.weights} - {w.path for w in tied.weights}
    assert extra == {"token_embedding/reverse_embeddings"}
    own.backbone.token_embedding.reverse_embeddings.assign(np.zeros((18, VOCABULARY)))
    assert not np.any(run(own, ids)) and np.any(run(tied, ids))


def test_a_token_beyond_the_vocabulary():
    ids = draw_ids(2, T)
    ids[1, 3] = VOCABULARY
    with pytest.raises(ValueError, match=rf"less than {VOCABULARY}, the size"):
        run(backbone(), ids)
