"""Layers in a saved model, loaded where only `keras_performer` is imported."""

from pathlib import Path

import keras
import numpy as np
import pytest
from fresh_process import predict_in_a_fresh_process
from layer_inputs import B, F, H, T, attention
from tolerances import assert_close

from keras_performer.layers import (
    FastAttention,
    MaskedAveragePooling,
    PerformerEncoder,
    SinusoidalPositions,
)

# What `fixtures/make_saved_models.py` wrote, once, and later versions must load.
FIXTURES = sorted((Path(__file__).parent / "fixtures").glob("*.keras"))
PROMISE = (
    "A model that users may have saved no longer {}. Let `from_config` and `build` "
    "read what earlier versions wrote; to make {} anew hides that theirs are lost."
)


def test_saved_models_come_back_bit_equal(tmp_path):
    ids = keras.Input((None,), dtype="int32")
    x = keras.layers.Embedding(11, F, mask_zero=True)(ids)
    positions = SinusoidalPositions(100)(x)
    plain = keras.layers.Dense(F)(x)
    outputs = [
        # Without seeds: what was drawn comes back from the file.
        attention(seed=None)(x, x),
        attention(feature_map="relu", num_features=None, use_gate=True)(plain, x),
        attention(projection="gaussian", value_dim=7)(x, x, use_causal_mask=True),
        attention(output_shape=(4, 3))(x, plain, x, return_attention_scores=True)[1],
        FastAttention(H, 8, dtype="mixed_bfloat16")(x, x),
        MaskedAveragePooling()(PerformerEncoder(8, num_heads=2)(positions)),
    ]
    model = keras.Model(ids, outputs)
    batch = np.random.default_rng(0).integers(0, 11, (B, T)).astype("int32")
    expected = model.predict(batch, verbose=0)
    restored = predict_in_a_fresh_process(model, batch, tmp_path)
    for a, b in zip(restored, expected, strict=True):
        assert np.array_equal(a, b.astype("float64"))


def test_models_of_every_kind_are_kept():
    names = {path.stem for path in FIXTURES}
    attentions = {"bidirectional", "causal", "favor_sharp", "grouped_heads"}
    assert names >= attentions | {"encoder", "document_classifier"}


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_models_of_earlier_versions_load(path):
    try:
        model = keras.saving.load_model(path)
    except (TypeError, ValueError, KeyError) as error:
        pytest.fail(f"{PROMISE.format('loads', path.name)}\n{error}")
    with np.load(path.with_suffix(".npz")) as arrays:
        inputs, outputs = arrays["inputs"], arrays["outputs"]
    try:
        assert_close(model.predict(inputs, verbose=0), outputs)
    except AssertionError as error:
        pytest.fail(f"{PROMISE.format('answers as it did', path.name)}\n{error}")
