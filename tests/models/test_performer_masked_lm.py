"""`PerformerMaskedLM`: what is masked is told from both sides."""

import keras
import numpy as np
import pytest
from fresh_process import predict_in_a_fresh_process
from tolerances import assert_close

from keras_performer.models import PerformerBackbone, PerformerMaskedLM

VOCABULARY, MASK, T = 12, 11, 16


def masked_lm(**options):
    backbone = PerformerBackbone(
        vocabulary_size=VOCABULARY,
        num_layers=1,
        num_heads=2,
        hidden_dim=16,
        intermediate_dim=32,
        dropout=0.0,
        seed=0,
        **options,
    )
    return PerformerMaskedLM(backbone, seed=1)


def run(model, inputs):
    return keras.ops.convert_to_numpy(model(inputs))


def draw_ids(*shape):
    return np.random.default_rng(0).integers(1, VOCABULARY - 1, shape).astype("int32")


def test_logits_are_of_the_embedding_in_reverse():
    model, ids = masked_lm(), draw_ids(2, T)
    hidden_states = model.get_layer("transform_norm").output
    hidden_states = run(keras.Model(model.input, hidden_states), ids)
    embedding = keras.ops.convert_to_numpy(model.backbone.token_embedding.embeddings)
    assert_close(run(model, ids), hidden_states @ embedding.T)
    assert len(model.trainable_weights) == len(model.backbone.trainable_weights) + 4


def test_both_sides_tell():
    model, ids = masked_lm(), draw_ids(1, T)
    output = run(model, ids)
    for changed in (2, T - 2):
        other = ids.copy()
        other[0, changed] = 1 + other[0, changed] % (VOCABULARY - 2)
        assert not np.allclose(run(model, other)[0, 8], output[0, 8], atol=1e-5)


def test_padding_changes_nothing():
    model, ids = masked_lm(), draw_ids(2, T)
    assert_close(run(model, np.pad(ids, [(0, 0), (0, 5)]))[:, :T], run(model, ids))


@pytest.mark.parametrize("options", [{}, {"packed": True, "tie_embeddings": False}])
def test_logits_at_positions_are_those_of_all(options):
    model, ids = masked_lm(**options), draw_ids(2, T)
    ids[1, 9:] = 0
    inputs = {"token_ids": ids}
    if model.backbone.packed:
        inputs["segment_ids"] = np.repeat([[1, 2], [1, 1]], 8, axis=1).astype("int32")
    positions = np.array([[3, 0, 11], [5, 5, 8]])
    some = model.at_positions()
    assert_close(
        run(some, {**inputs, "mask_positions": positions}),
        np.take_along_axis(
            run(model, inputs if model.backbone.packed else ids),
            positions[..., None],
            axis=1,
        ),
    )
    assert [w.path for w in some.weights] == [w.path for w in model.weights]


@pytest.mark.slow
def test_it_learns_what_stands_on_both_sides():
    """Tokens go up by one at each position: a neighbour of either side tells."""
    model = masked_lm(exact_window=3)
    generator = np.random.default_rng(0)
    starts = generator.integers(0, VOCABULARY - 2, (256, 1))
    targets = (1 + (starts + np.arange(T)) % (VOCABULARY - 2)).astype("int32")
    weights = (generator.random(targets.shape) < 0.15).astype("float32")
    inputs = np.where(weights > 0, MASK, targets)
    loss = keras.losses.SparseCategoricalCrossentropy(
        from_logits=True, reduction="mean_with_sample_weight"
    )
    model.compile(keras.optimizers.Adam(0.01), loss, jit_compile=False)
    history = model.fit(
        inputs, targets, sample_weight=weights, batch_size=32, epochs=12, verbose=0
    )
    losses = history.history["loss"]
    assert losses[0] == pytest.approx(np.log(VOCABULARY - 2), abs=0.5)
    assert losses[-1] < 0.5 * losses[0]


def test_round_trip():
    model = masked_lm(normalization="rms_norm")
    restored = PerformerMaskedLM.from_config(model.get_config())
    assert restored.get_config() == model.get_config()
    assert restored.seed == 1 and restored.backbone.normalization == "rms_norm"


@pytest.mark.slow
def test_loaded_in_a_fresh_process(tmp_path):
    model, ids = masked_lm(normalization="rms_norm"), draw_ids(2, T)
    (again,) = predict_in_a_fresh_process(model, ids, tmp_path)
    assert np.array_equal(again, model.predict(ids, verbose=0))


def test_a_packed_model_takes_segments():
    model = masked_lm(packed=True)
    ids = draw_ids(1, T)
    segments = np.repeat([[1, 2]], 8, axis=1).astype("int32")
    output = run(model, {"token_ids": ids, "segment_ids": segments})
    ids[0, 0] = 1 + ids[0, 0] % (VOCABULARY - 2)
    other = run(model, {"token_ids": ids, "segment_ids": segments})
    assert np.array_equal(other[:, 8:], output[:, 8:])
    assert not np.allclose(other[:, :8], output[:, :8])


def test_a_causal_backbone_is_refused():
    with pytest.raises(ValueError, match=r"made with `causal=False`.*causal=True"):
        masked_lm(causal=True)
