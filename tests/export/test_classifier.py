"""The exported folder: what it answers, who can load it, and what bad input gets."""

import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf
from exported_classifier import LABELS, TEXTS, classifier, expected

from keras_performer.export import export_classifier, versions
from keras_performer.export.classifier import _map_by_length
from keras_performer.export.warm_up import WARM_UP_FILE
from keras_performer.layers import HashedNgrams
from keras_performer.models import PerformerBackbone, PerformerTextClassifier
from keras_performer.text import ByteTokenizer

FRESH = """
import json, sys
import tensorflow as tf, tensorflow_text
assert not [m for m in sys.modules if m.startswith("keras_performer")]
path, texts = sys.argv[1], json.loads(sys.argv[2])
{load}
print(json.dumps({{"probabilities": probabilities, "labels": labels}}))
"""
LOAD_MODEL = """
model = tf.saved_model.load(path)
answer = model.signatures["serving_default"](text=tf.constant(texts))
probabilities = answer["probabilities"].numpy().tolist()
labels = [label.decode() for label in answer["label"].numpy()]
"""
LOAD_SESSION = """
tf1 = tf.compat.v1
with tf1.Session(graph=tf.Graph()) as session:
    meta = tf1.saved_model.load(session, ["serve"], path)
    signature = meta.signature_def["serving_default"]
    fetches = [signature.outputs[k].name for k in ("probabilities", "label")]
    feeds = {signature.inputs["text"].name: texts}
    values = session.run(fetches, feeds)
probabilities = values[0].tolist()
labels = [label.decode() for label in values[1]]
"""


@pytest.fixture(scope="module")
def loaded(exported):
    """The exported model as this process loads it."""
    return tf.saved_model.load(str(exported[2]))


@pytest.mark.parametrize(
    "load",
    [
        pytest.param(LOAD_MODEL, id="model"),
        pytest.param(LOAD_SESSION, id="session", marks=pytest.mark.slow),
    ],
)
def test_a_process_without_this_package_gets_the_same(exported, load):
    program = FRESH.format(load=load)
    result = subprocess.run(
        [sys.executable, "-c", program, str(exported[2]), json.dumps(TEXTS)],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": "", "TF_CPP_MIN_LOG_LEVEL": "3"},
        cwd=exported[2],
    )
    assert result.returncode == 0, result.stderr
    assert "gradient" not in result.stderr  # of custom ones, which no server needs
    answer = json.loads(result.stdout.splitlines()[-1])
    truth = expected(exported)
    np.testing.assert_allclose(answer["probabilities"], truth, atol=1e-5)
    assert answer["labels"] == [LABELS[i] for i in truth.argmax(-1)]


def test_rows_differ_and_do_not_depend_on_their_neighbours(exported, loaded):
    together = loaded.signatures["serving_default"](text=tf.constant(TEXTS))
    truth = expected(exported)
    assert np.ptp(truth, axis=0).max() > 1e-2
    np.testing.assert_allclose(together["probabilities"], truth, atol=1e-5)
    np.testing.assert_allclose(truth[0].sum(), 1, atol=1e-5)  # of an empty text


def test_signatures(loaded):
    described = {
        name: (
            {k: (s.dtype.name, s.shape.as_list()) for k, s in inputs[1].items()},
            {k: (s.dtype.name, s.shape.as_list()) for k, s in outputs.items()},
        )
        for name, inputs, outputs in (
            (name, f.structured_input_signature, f.structured_outputs)
            for name, f in loaded.signatures.items()
        )
    }
    answers = {"label": ("string", [None]), "probabilities": ("float32", [None, 3])}
    text = {"text": ("string", [None])}
    assert described == {
        "serving_default": (text, answers),
        "tokens": ({"token_ids": ("int32", [None, None])}, answers),
        "embed": (text, {"embedding": ("float32", [None, 16])}),
        "labels": ({"index": ("int32", [None])}, {"label": ("string", [None])}),
    }


@pytest.mark.slow
def test_the_other_signatures_answer(exported, loaded):
    keras_model, tokenizer, _ = exported
    signatures = loaded.signatures
    ids = tokenizer(tf.constant(TEXTS))
    by_ids = signatures["tokens"](token_ids=ids)
    np.testing.assert_allclose(by_ids["probabilities"], expected(exported), atol=1e-5)
    embedding = signatures["embed"](text=tf.constant(TEXTS))["embedding"]
    np.testing.assert_allclose(embedding, keras_model.embedder(ids), atol=1e-4)
    names = signatures["labels"](index=tf.constant([2, 0]))["label"].numpy().tolist()
    assert names == [b"poem", b"log"]


def read_functions(exported):
    from tensorflow.core.protobuf import saved_model_pb2

    graph = saved_model_pb2.SavedModel.FromString(
        (exported[2] / "saved_model.pb").read_bytes()
    )
    return graph.meta_graphs[0].graph_def.library.function


def test_signatures_share_what_computes(exported):
    sizes = [len(function.node_def) for function in read_functions(exported)]
    # The classifier is there once for text and for ids, and the embedder.
    assert sum(size > max(sizes) / 2 for size in sizes) == 2


def test_no_signature_is_compiled_by_xla(exported):
    functions = read_functions(exported)
    assert len(functions) > 4
    for function in functions:
        attributes = [function.attr, *(node.attr for node in function.node_def)]
        assert not any(a["_XlaMustCompile"].b for a in attributes if "_Xla" in str(a))


def test_warm_up_requests_are_answered(exported, loaded):
    from tensorflow_serving.apis import prediction_log_pb2

    path = exported[2] / "assets.extra" / "tf_serving_warmup_requests"
    records = [
        prediction_log_pb2.PredictionLog.FromString(record.numpy())
        for record in tf.data.TFRecordDataset(str(path))
    ]
    assert 0 < len(records) <= 1000
    for record in records:
        request = record.predict_log.request
        assert request.model_spec.name == "documents"
        inputs = {
            name: tf.constant(tf.make_ndarray(value))
            for name, value in request.inputs.items()
        }
        signature = loaded.signatures[request.model_spec.signature_name]
        answer = signature(**inputs)
        assert all(len(value) == 1 for value in answer.values())
    warmed_up = {r.predict_log.request.model_spec.signature_name for r in records}
    assert warmed_up == set(loaded.signatures)


@pytest.mark.parametrize(
    ("lengths", "groups"),
    [
        ([], []),
        ([7], [[7]]),
        ([1] * 1000 + [50_000], [[1] * 1000, [50_000]]),
        ([300, 0, 100, 128, 601, 299], [[0, 100, 128], [299, 300], [601]]),
        ([100_000] * 5, [[100_000] * 2, [100_000] * 2, [100_000]]),
        ([400_000, 400_000], [[400_000], [400_000]]),
    ],
)
def test_texts_go_through_the_model_in_groups_of_like_length(lengths, groups):
    seen = []

    def function(texts):
        seen.append(tf.strings.length(texts).numpy().tolist())
        return tf.cast(tf.strings.length(texts), tf.float32)[:, None]

    texts = tf.constant(["x" * length for length in lengths], tf.string)
    values = _map_by_length(function, texts, 1)
    assert values.numpy().tolist() == [[length] for length in lengths]
    assert seen == groups


def test_a_long_row_does_not_cost_the_short_ones(exported):
    """As a server runs it: a session, in which a loop may hold memory of its own."""
    tf1 = tf.compat.v1
    texts = ["x"] * 300 + ["a dark and stormy night " * 800]
    with tf1.Session(graph=tf.Graph()) as session:
        meta = tf1.saved_model.load(session, ["serve"], str(exported[2]))
        signature = meta.signature_def["serving_default"]
        fetch = signature.outputs["probabilities"].name
        feed = signature.inputs["text"].name
        alone = [session.run(fetch, {feed: [text]})[0] for text in texts[-2:]]
        started = time.process_time()
        together = session.run(fetch, {feed: texts})
        seconds = time.process_time() - started
        started = time.process_time()
        session.run(fetch, {feed: texts[-1:]})
        assert seconds < 5 * (time.process_time() - started) + 0.2
    np.testing.assert_allclose(together[-2:], alone, atol=1e-6)


@pytest.mark.slow
def test_versions_count_up_and_a_failure_leaves_nothing(tmp_path, monkeypatch):
    tokenizer = ByteTokenizer()
    model = classifier(tokenizer.vocabulary_size)
    (tmp_path / "m" / "7").mkdir(parents=True)
    (tmp_path / "m" / "notes").mkdir()
    path = export_classifier(model, tokenizer, LABELS, tmp_path, "m")
    assert path == tmp_path / "m" / "8"
    assert path.stat().st_mode & 0o777 == 0o755

    def disk_full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "rename", disk_full)
    with pytest.raises(OSError, match="No space left"):
        export_classifier(model, tokenizer, LABELS, tmp_path, "m")
    assert versions(tmp_path / "m") == [7, 8]
    assert sorted(p.name for p in (tmp_path / "m").iterdir()) == ["7", "8", "notes"]


@pytest.mark.slow
def test_odd_names_of_classes_and_model_come_back(tmp_path):
    tokenizer = ByteTokenizer()
    model = classifier(tokenizer.vocabulary_size)
    labels, name = ("a b/c", "q\"uo'te\\", "naïve ☃ 書\n"), "na me ☃\"'%25:*?é"
    path = export_classifier(model, tokenizer, labels, tmp_path / "two words", name)
    answer = tf.saved_model.load(str(path)).signatures["labels"]
    found = answer(index=tf.range(3))["label"].numpy()
    assert [label.decode() for label in found] == list(labels)


@pytest.mark.slow
def test_without_the_extra_the_warm_up_requests_are_left_out(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_serving.apis", None)
    tokenizer = ByteTokenizer()
    model = classifier(tokenizer.vocabulary_size)
    with pytest.warns(UserWarning, match=r"warm-up.*pip install .*\[serving\]"):
        path = export_classifier(model, tokenizer, LABELS, tmp_path, "m")
    assert (path / "saved_model.pb").exists()
    assert not (path / WARM_UP_FILE).exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": ("a", "b")}, "3 classes"),
        ({"tokenizer": ByteTokenizer, "model": 99}, "99"),
        ({"name": "a/b"}, "plain folder name"),
        ({"name": ""}, "plain folder name"),
        ({"name": ".hidden"}, "plain folder name"),
        ({"name": "back\\slash"}, "backslashes"),
        ({"name": "a[b]"}, "brackets"),
        ({"name": "a\0b"}, "plain folder name"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(
    tmp_path, change, message
):
    tokenizer = ByteTokenizer()
    model = classifier(change.get("model", tokenizer.vocabulary_size))
    labels, name = change.get("labels", LABELS), change.get("name", "m")
    with pytest.raises(ValueError, match=message):
        export_classifier(model, tokenizer, labels, tmp_path, name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("power", "is_there"),
    [(0.0, False), pytest.param(0.5, True, marks=pytest.mark.slow)],
)
def test_an_encoder_without_power_is_not_computed(tmp_path, power, is_there):
    tokenizer = ByteTokenizer()
    backbone = PerformerBackbone(
        tokenizer.vocabulary_size, 1, 1, 8, 8, name="backbone", seed=0
    )
    ngrams = HashedNgrams(64, tokenizer.token_kinds)
    model = PerformerTextClassifier(backbone, len(LABELS), ngrams=ngrams, seed=0)
    table = model.get_layer("ngram_logits").embeddings
    table.assign(np.random.default_rng(0).normal(size=table.shape))
    model.experts.powers.assign([1.5, power])
    path = export_classifier(model, tokenizer, LABELS, tmp_path, "both")

    signature = tf.saved_model.load(path).signatures["serving_default"]
    answer = signature(text=tf.constant(TEXTS))["probabilities"].numpy()
    np.testing.assert_allclose(answer, model(tokenizer(TEXTS)), rtol=1e-4)
    graph = str(signature.graph.as_graph_def())
    assert ("self_attention" in graph) == is_there
