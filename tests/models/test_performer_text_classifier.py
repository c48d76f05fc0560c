"""`PerformerTextClassifier`: one label for a document, alone or in a batch."""

import inspect
import json

import keras
import numpy as np
import pytest
from fresh_process import predict_in_a_fresh_process
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

from keras_performer.layers import HashedNgrams
from keras_performer.models import PerformerTextClassifier

CLASSES = 5


def classifier(dropout=0.0, **arguments):
    model = PerformerTextClassifier(backbone(**arguments), CLASSES, dropout=dropout)
    return randomize(model)


def test_probabilities():
    probabilities = run(classifier(), draw_ids(3, T))
    assert probabilities.shape == (3, CLASSES)
    assert probabilities.dtype == "float32"
    assert np.all(probabilities > 0)
    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-6)


def test_the_way_from_hidden_states_to_probabilities():
    model = classifier()
    ids = draw_ids(2, T)
    ids[1, 6:] = 0
    hidden_states = run(model.backbone, ids).astype("float64")
    pooled = np.stack(
        [v[i != 0].mean(axis=0) for v, i in zip(hidden_states, ids, strict=True)]
    )
    assert_close(run(model.embedder, ids), pooled)
    weights = {path.split("/", 1)[1]: v for path, v in values(model).items()}
    dense = model.get_layer("probabilities")
    kernel, bias = (keras.ops.convert_to_numpy(w) for w in (dense.kernel, dense.bias))
    assert kernel.shape in {v.shape for v in weights.values()}
    odds = np.exp(pooled @ kernel + bias)
    expected = odds / odds.sum(axis=1, keepdims=True)
    assert_close(run(model, ids), expected)


@pytest.mark.parametrize("feature_map", ["softmax", "relu"])
def test_alone_and_in_a_batch(feature_map):
    model = classifier(feature_map=feature_map)
    ids = draw_ids(1, T)
    alone = run(model, ids)
    padded = np.pad(ids, [(0, 0), (0, 90)])
    assert_close(run(model, padded), alone)
    batch = np.concatenate([padded, draw_ids(3, T + 90, seed=1)])
    assert_close(run(model, batch)[:1], alone)


def test_an_empty_document_is_finite():
    model = classifier()
    only_padding = run(model, np.zeros((2, T), "int32"))
    assert np.allclose(only_padding.sum(axis=1), 1, atol=1e-6)
    no_tokens = run(model, np.zeros((2, 0), "int32"))
    assert_close(no_tokens, only_padding)


@pytest.mark.slow
def test_training_lowers_the_loss():
    model = classifier(dropout=0.1, num_layers=1)
    model.compile("adam", "sparse_categorical_crossentropy", jit_compile=False)
    ids, labels = draw_ids(8, T), np.arange(8) % CLASSES
    losses = [model.train_on_batch(ids, labels) for _ in range(15)]
    assert losses[-1] < losses[0]


def test_dropout_acts_in_training_only():
    model = PerformerTextClassifier(backbone(dropout=0.0), CLASSES, dropout=0.5)
    ids = draw_ids(2, T)
    plain = run(model, ids)
    assert np.array_equal(plain, keras.ops.convert_to_numpy(model(ids, training=False)))
    assert not np.any(keras.ops.convert_to_numpy(model(ids, training=True)) == plain)


def test_the_global_seed_decides():
    def seeded(seed):
        keras.utils.set_random_seed(seed)
        return values(PerformerTextClassifier(backbone(seed=None), CLASSES))

    first, again, other = seeded(1), seeded(1), seeded(2)
    for path, value in first.items():
        assert np.array_equal(value, again[path]), path
        if path.endswith(("kernel", "embeddings", "projection")):
            assert not np.array_equal(value, other[path]), path


def test_round_trip_of_every_argument():
    arguments = {
        "backbone": backbone(name="other_backbone"),
        "num_classes": CLASSES,
        "dropout": 0.25,
        "ngrams": HashedNgrams(8, [0, 1], name="other_ngrams"),
        "problem": "multi_label",
        "seed": 3,
        "name": "other_name",
        "trainable": False,
    }
    parameters = set(inspect.signature(PerformerTextClassifier.__init__).parameters)
    assert parameters - {"self", "kwargs"} <= set(arguments)
    model = PerformerTextClassifier(**arguments)
    config = json.loads(json.dumps(model.get_config()))
    assert set(config) == set(arguments)
    restored = PerformerTextClassifier.from_config(config)
    assert json.loads(json.dumps(restored.get_config())) == config
    assert restored.get_layer("pooled_dropout").rate == 0.25
    assert restored.backbone.name == "other_backbone"
    assert not restored.trainable_weights
    assert list(values(restored)) == list(values(model))


@pytest.mark.parametrize("num_classes", [1, 0, -3, 2.0, None])
def test_two_classes_at_the_least(num_classes):
    with pytest.raises(ValueError, match="`num_classes` must be an integer"):
        PerformerTextClassifier(backbone(), num_classes)


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16", "float64"])
def test_the_policy_is_that_of_the_backbone_and_probabilities_are_float32(dtype):
    model = PerformerTextClassifier(backbone(dtype=dtype), CLASSES)
    restored = PerformerTextClassifier.from_config(model.get_config())
    for each in (model, restored):
        blocks = [x for x in each.backbone.layers if "encoder" in x.name]
        assert [block.dtype_policy.name for block in blocks] == [dtype] * 2
        output = each(draw_ids(2, T))
        assert keras.backend.standardize_dtype(output.dtype) == "float32"
        assert np.allclose(keras.ops.convert_to_numpy(output).sum(axis=1), 1, atol=1e-6)


def test_weight_paths(snapshot):
    model = PerformerTextClassifier(backbone(num_features=None), CLASSES)
    snapshot(
        "performer_text_classifier_weights",
        {w.path: list(w.shape) for w in model.weights},
    )


@pytest.mark.parametrize("feature_map", ["softmax", "relu"])
def test_saved_and_loaded(tmp_path, feature_map):
    model = classifier(seed=None, feature_map=feature_map)
    model.save(tmp_path / "model.keras")
    restored = keras.saving.load_model(tmp_path / "model.keras")
    assert type(restored) is PerformerTextClassifier
    assert [w.path for w in restored.weights] == [w.path for w in model.weights]
    ids = draw_ids(3, T)
    expected = run(model, ids)
    assert np.array_equal(run(restored, ids), expected)
    hidden_states = run(model.backbone, ids)
    assert np.array_equal(run(restored.backbone, ids), hidden_states)


@pytest.mark.slow
def test_loaded_in_a_fresh_process(tmp_path):
    model = classifier(seed=None, dtype="mixed_bfloat16")
    ids = draw_ids(3, T)
    ids[1, 4:] = 0
    (restored,) = predict_in_a_fresh_process(model, ids, tmp_path)
    assert np.array_equal(restored, model.predict(ids, verbose=0).astype("float64"))


def test_the_file_holds_every_weight_once(tmp_path):
    model = classifier()
    path = tmp_path / "model.weights.h5"
    model.save_weights(path)
    size = sum(value.nbytes for value in values(model).values())
    assert path.stat().st_size < 2 * size + 400_000


def with_ngrams():
    model = PerformerTextClassifier(
        backbone(num_layers=1),
        CLASSES,
        ngrams=HashedNgrams(64, [0] + [1] * (VOCABULARY - 1), rate=0.5, seed=0),
    )
    randomize(model)
    model.experts.powers.assign([1.5, 0.5])
    return model


def test_probabilities_are_a_product_of_those_of_two_experts():
    model = with_ngrams()
    ids = draw_ids(3, T)
    ngrams, encoder = (
        run(expert, ids).astype("float64")
        for expert in (model.ngram_classifier, model.encoder_classifier)
    )
    expected = ngrams**1.5 * encoder**0.5
    assert_close(run(model, ids), expected / expected.sum(axis=1, keepdims=True))


def test_each_expert_trains_its_own_weights():
    model = with_ngrams()
    ngrams = {w.path for w in model.ngram_classifier.trainable_weights}
    encoder = {w.path for w in model.encoder_classifier.trainable_weights}
    assert ngrams == {"ngram_logits/embeddings"}
    assert not ngrams & encoder
    assert ngrams | encoder == {w.path for w in model.trainable_weights}


def test_a_saved_model_has_its_ngrams(tmp_path):
    model = with_ngrams()
    model.ngrams.adapt([draw_ids(4, T)])
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    ids = draw_ids(3, T)
    assert_close(run(loaded, ids), run(model, ids))
    assert loaded.ngrams.get_config() == model.ngrams.get_config()


def test_the_seed_is_the_fourth_argument_as_ever():
    model = PerformerTextClassifier(backbone(), CLASSES, 0.5, 7)
    assert (model.seed, model.ngrams) == (7, None)
