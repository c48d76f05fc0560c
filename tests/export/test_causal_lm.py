"""A causal model whose state its client carries: pieces are as good as the whole."""

import json
import urllib.request

import keras
import numpy as np
import pytest
import tensorflow as tf
from test_serving_ops import linked_ops, list_ops  # noqa: F401
from tolerances import assert_close

from keras_performer.export import export_causal_lm
from keras_performer.models import PerformerBackbone, PerformerCausalLM
from keras_performer.server import ServerOptions, ServerProcess
from keras_performer.server.servable import Servable
from keras_performer.server.serving_error import ServingError
from keras_performer.text import AminoAcidTokenizer, ByteTokenizer

TEXT = ("It was the bést of times, ☃ it was the worst of times. " * 3).encode()


def causal_lm(vocabulary_size=257, **arguments):
    model = PerformerCausalLM(
        PerformerBackbone(vocabulary_size, 1, 2, 8, 8, causal=True, seed=0, **arguments)
    )
    # Larger than at the start of a training, so that texts differ in their scores.
    for weight in model.trainable_weights:
        noise = keras.random.normal(weight.shape, seed=len(weight.path))
        weight.assign(weight + 0.3 * noise)
    return model


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The model, and the folder of its version 1."""
    model = causal_lm()
    directory = tmp_path_factory.mktemp("saved_models")
    return model, export_causal_lm(model, ByteTokenizer(), directory, "bytes")


@pytest.fixture(scope="module")
def run(exported):
    """Function from a signature's name and its inputs to its outputs."""
    servable = Servable(exported[1])

    def run(name, **inputs):
        dtypes = {"temperature": "float32", "top_p": "float32", "seed": "int32"}
        arrays = {
            key: np.array(value, dtypes.get(key, object))
            for key, value in inputs.items()
        }
        return servable.run(servable.get_signature(name), arrays)

    yield run
    servable.close()


def true_scores(model, text):
    """The log-likelihood of each byte but the first, by the model itself."""
    ids = np.frombuffer(text, "uint8").astype("int32")[None] + 1
    scores = keras.ops.convert_to_numpy(keras.ops.log_softmax(model(ids)))
    return np.take_along_axis(scores[0, :-1], ids[0, 1:, None], 1).astype("float64")


def read(run, pieces):
    outputs = run("begin", text=[pieces[0]])
    for piece in pieces[1:]:
        outputs = run("step", text=[piece], state_bytes=outputs["state_bytes"])
    return outputs


def test_the_score_is_the_log_likelihood(exported, run):
    texts = [TEXT, b"", b"a", TEXT[:7]]  # of unlike lengths
    outputs = run("serving_default", text=texts)
    truth = [true_scores(exported[0], text).sum() for text in (TEXT, TEXT[:7])]
    assert outputs["num_tokens"].tolist() == [len(text) for text in texts]
    assert_close(outputs["log_likelihood"], [truth[0], 0, 0, truth[1]])
    bits = [-truth[0] / (len(TEXT) - 1), 0, 0, -truth[1] / 6] / np.log(2)
    assert_close(outputs["bits_per_token"], bits)


@pytest.mark.parametrize(("size", "length"), [(1, 30), (70, len(TEXT))])
def test_pieces_have_the_score_of_the_whole(run, size, length):
    pieces = [TEXT[start : start + size] for start in range(0, length, size)]
    outputs = read(run, [b"", *pieces, b""])
    whole = run("begin", text=[TEXT[:length]])
    for name in ("num_tokens", "log_likelihood", "bits_per_token"):
        assert_close(outputs[name], whole[name])
    assert len(outputs["state_bytes"][0]) == len(whole["state_bytes"][0])


def test_rows_go_on_by_themselves(run):
    first = run("begin", text=[TEXT[:9], b"", TEXT])
    both = run("step", text=[TEXT[9:], TEXT, b""], state_bytes=first["state_bytes"])
    [alone] = run("serving_default", text=[TEXT])["log_likelihood"]
    assert_close(both["log_likelihood"], [alone] * 3)


def test_a_text_is_longer_than_a_chunk(exported, run):
    text = TEXT * 40
    assert len(text) > 4096
    [score] = run("serving_default", text=[text])["log_likelihood"]
    assert_close(score, true_scores(exported[0], text).sum())


def write(run, state_bytes, num_tokens, temperature=0.0, top_p=1.0, seed=0):
    rows = len(state_bytes)
    found = []
    for _ in range(num_tokens):
        outputs = run(
            "generate",
            state_bytes=state_bytes,
            temperature=[temperature] * rows,
            top_p=[top_p] * rows,
            seed=[seed] * rows,
        )
        state_bytes = outputs["state_bytes"]
        found.append(outputs)
    return found


def test_the_likeliest_tokens_are_those_of_the_model(exported, run):
    prompt = np.frombuffer(TEXT[:20], "uint8")[None] + 1
    [truth] = exported[0].generate(prompt, 9)
    found = write(run, run("begin", text=[TEXT[:20]])["state_bytes"], 9)
    assert [step["token_id"][0] for step in found] == truth.tolist()
    assert b"".join(step["text_bytes"][0] for step in found) == bytes(
        (truth - 1).tolist()
    )
    greedy = write(run, run("begin", text=[TEXT[:20]])["state_bytes"], 9, 1.0, 1e-6)
    assert [step["token_id"][0] for step in greedy] == truth.tolist()


def test_draws_follow_the_distribution_and_not_the_neighbours(exported, run):
    prompt = np.frombuffer(TEXT[:20], "uint8").astype("int32")[None] + 1
    logits = exported[0](prompt)[0, -1]
    probabilities = keras.ops.convert_to_numpy(keras.ops.softmax(logits[1:]))
    [state] = run("begin", text=[TEXT[:20]])["state_bytes"]
    rows = 4000
    outputs = run(
        "generate",
        state_bytes=[state] * rows,
        temperature=np.ones(rows),
        top_p=np.ones(rows),
        seed=range(rows),
    )
    drawn = np.bincount(outputs["token_id"] - 1, minlength=256) / rows
    error = np.sqrt(probabilities * (1 - probabilities) / rows)
    assert np.all(np.abs(drawn - probabilities) <= 5 * error + 1e-3)
    [alone] = write(run, [state], 1, 1.0, seed=7)
    assert alone["token_id"][0] == outputs["token_id"][7]


def test_the_state_of_another_version_is_refused(run):
    [state] = run("begin", text=[TEXT])["state_bytes"]
    with pytest.raises(ServingError, match="INVALID_ARGUMENT"):
        run("step", text=[TEXT], state_bytes=[b"no state"])
    at = len(state) - tf.size(tf.io.parse_tensor(state, tf.uint8)).numpy()
    other = state[:at] + bytes(8) + state[at + 8 :]  # where the mark of a version is
    with pytest.raises(ServingError, match="of this very version"):
        run("step", text=[TEXT], state_bytes=[other])


def test_every_op_is_one_of_tensorflow_serving(exported, linked_ops):  # noqa: F811
    assert list_ops(exported[1]) - linked_ops == set()


@pytest.mark.slow
def test_ids_in_place_of_text(tmp_path):
    model = causal_lm(11)
    servable = Servable(export_causal_lm(model, None, tmp_path, "ids"))
    ids = np.array([[3, 5, 0, 7], [0, 0, 2, 2]], "int32")
    outputs = servable.run(servable.get_signature("begin"), {"token_ids": ids})
    scores = keras.ops.convert_to_numpy(
        keras.ops.log_softmax(model(np.array([[3, 5, 7], [2, 2, 0]])))
    )
    truth = [scores[0, 0, 5] + scores[0, 1, 7], scores[1, 0, 2]]
    assert_close(outputs["log_likelihood"], truth)
    assert outputs["num_tokens"].tolist() == [3, 2]


@pytest.mark.parametrize(
    ("change", "tokenizer", "message"),
    [
        ({"positions": "learned", "max_sequence_length": 9}, None, "rotary"),
        ({"vocabulary_size": 11}, ByteTokenizer(), "257 ids"),
        ({}, ByteTokenizer(sequence_length=9), "cuts nothing off"),
        ({}, AminoAcidTokenizer(), "AminoAcidTokenizer"),
    ],
)
def test_what_does_not_read_in_pieces_is_refused(tmp_path, change, tokenizer, message):
    with pytest.raises(ValueError, match=message):
        export_causal_lm(causal_lm(**change), tokenizer, tmp_path, "m")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_long_document_takes_no_more_memory(exported):
    base_path = exported[1].parent
    options = ServerOptions(
        model_name="bytes",
        model_base_path=base_path,
        rest_api_port=0,
        rest_api_timeout_in_ms=0,
    )
    text = (TEXT * (2**20 // len(TEXT) + 1))[: 2**20]
    with ServerProcess(options) as server:

        def score(text):
            url = f"{server.url}/v1/models/bytes:score"
            pieces = (text[at : at + 1000] for at in range(0, len(text), 1000))
            request = urllib.request.Request(url, data=pieces)
            with urllib.request.urlopen(request) as answer:
                return json.load(answer)

        short = score(text[: 2**17])
        before = server.peak_memory()
        long = score(text)
        assert server.peak_memory() - before < 2**25
    assert [short["num_tokens"], long["num_tokens"]] == [2**17, 2**20]
    assert long["bits_per_token"] == pytest.approx(short["bits_per_token"], rel=0.01)
