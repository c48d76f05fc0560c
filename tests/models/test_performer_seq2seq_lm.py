"""`PerformerSeq2SeqLM`: training on pairs, and the tokens of the parallel form."""

import json

import keras
import numpy as np
import pytest
from test_performer_backbone import VOCABULARY, backbone, draw_ids, randomize, values
from test_performer_seq2seq_backbone import inputs, seq2seq_backbone
from tolerances import assert_close

from keras_performer.models import (
    PerformerSeq2SeqBackbone,
    PerformerSeq2SeqLM,
    samplers,
)

SOURCES = [[7, 4, 4, 19, 2, 11], [23], [3, 28, 5]]
PROMPTS = [[5, 3, 2], [7], [8, 9, 12, 1, 4]]
N = 5


def language_model(**arguments):
    return randomize(PerformerSeq2SeqLM(seq2seq_backbone(**arguments)))


def run(model, source, target):
    """Logits as an array."""
    arrays = inputs(*(np.asarray(ids, "int32") for ids in (source, target)))
    return keras.ops.convert_to_numpy(model(arrays))


@pytest.fixture(scope="module")
def model():
    return language_model(num_layers=1, seed=2)


def assert_greedy(model, sources, prompts, tokens):
    """Asserts that a pass over each row alone chooses, at each place, what is there."""
    for source, prompt, row in zip(sources, prompts, tokens.tolist(), strict=True):
        logits = run(model, [source], [[*prompt, *row]])[0]
        chosen = 1 + logits[len(prompt) - 1 : -1, 1:].argmax(axis=1)  # 0 is padding
        assert row == chosen.tolist()


def test_tokens_are_those_of_the_parallel_form_of_each_row_alone(model):
    tokens = model.generate(SOURCES, N, PROMPTS)
    assert tokens.dtype == "int32"
    assert_greedy(model, SOURCES, PROMPTS, tokens)
    assert len(np.unique(tokens)) > 2  # a model that says one thing proves little


def test_logits_are_of_the_tied_embedding(model):
    source, target = draw_ids(2, 6), draw_ids(2, 7)
    hidden_states = model.backbone(inputs(source, target))["decoder_sequence_output"]
    hidden_states = keras.ops.convert_to_numpy(hidden_states).astype("float64")
    embeddings = keras.ops.convert_to_numpy(model.backbone.token_embedding.embeddings)
    logits = run(model, source, target)
    assert logits.dtype == "float32"
    assert_close(logits, hidden_states @ embeddings.T)
    assert len(model.weights) == len(model.backbone.weights)


def test_padding_of_sources_and_prompts_is_left_out(model):
    expected = model.generate(SOURCES, N, PROMPTS)
    sources, prompts = np.zeros((3, 12), "int64"), np.zeros((3, 9), "int64")
    for index, (source, prompt) in enumerate(zip(SOURCES, PROMPTS, strict=True)):
        sources[index, -len(source) :] = source
        prompts[index, : len(prompt)] = prompt
    assert np.array_equal(model.generate(sources, N, prompts), expected)


@pytest.mark.slow
def test_a_source_is_read_once_and_compiled_for_few_lengths(model, monkeypatch):
    if keras.backend.backend() == "torch":
        pytest.skip("nothing is compiled")
    prompts = [[1]] * 3
    model.generate(draw_ids(3, 6), N, prompts)
    read, kind = [], type(model.backbone.token_embedding)
    embed = kind.call
    # Of the class: an attribute of the layer would be a change of the model.
    monkeypatch.setattr(
        kind,
        "call",
        lambda self, ids, **named: read.append(ids.shape) or embed(self, ids, **named),
    )
    for length in (5, 7, 8):
        model.generate(draw_ids(3, length), N, prompts)
    assert not read
    model.generate(draw_ids(3, 9), N, prompts)
    assert [tuple(shape) for shape in read] == [(3, 16)]


@pytest.mark.slow
def test_a_stream_yields_the_same_tokens_as_they_come(model):
    expected = model.generate(SOURCES, N, PROMPTS)
    steps = list(model.stream(SOURCES, N, PROMPTS))
    assert np.array_equal(np.stack(steps, axis=1), expected)
    stop = expected[0, 0]
    steps = list(model.stream(SOURCES[:1] * 3, N, PROMPTS[:1] * 3, "greedy", [stop]))
    assert [step.tolist() for step in steps] == [[stop] * 3]


@pytest.mark.slow
def test_beams_take_the_source_along(model):
    # As many beams as there are tokens find the likeliest pair.
    every = np.arange(1, VOCABULARY)
    tokens = model.generate(SOURCES, 2, PROMPTS, samplers.BeamSampler(len(every)))
    for source, prompt, row in zip(SOURCES, PROMPTS, tokens, strict=True):
        targets = [[*prompt, first] for first in every]
        logits = run(model, [source] * len(every), targets)[:, -2:, 1:]
        logits = logits.astype("float64")
        log_probs = logits - np.log(np.exp(logits).sum(axis=2, keepdims=True))
        pairs = log_probs[0, 0][:, None] + log_probs[:, 1]
        first, second = np.unravel_index(pairs.argmax(), pairs.shape)
        assert row.tolist() == [every[first], every[second]]


def test_training_lowers_the_loss_of_targets_that_count():
    model = PerformerSeq2SeqLM(seq2seq_backbone(num_layers=1, dropout=0.0))
    source, target = draw_ids(4, 6), draw_ids(4, 7, seed=1)
    weights = np.ones((4, 6), "float32")
    weights[:, 4:] = 0
    model.compile(
        keras.optimizers.Adam(0.01),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        run_eagerly=keras.backend.backend() == "tensorflow",  # sooner than compiled
        jit_compile=keras.backend.backend() == "jax",
    )
    data = inputs(source, target[:, :-1]), target[:, 1:], weights
    losses = [model.train_on_batch(*data) for _ in range(3)]
    assert losses[-1] < 0.95 * losses[0]
    # What has no weight is not asked for: the loss is the same whatever it is.
    other = target.copy()
    other[:, 5:] = draw_ids(4, 2, seed=2)
    expected, same = (
        model.test_on_batch(inputs(source, target[:, :-1]), each[:, 1:], weights)
        for each in (target, other)
    )
    assert expected == same


@pytest.mark.slow
def test_it_learns_to_find_the_one_token_that_differs():
    usual, start, end = 6, 7, 8
    tokens = np.repeat(np.arange(1, 6), 4)
    sources = np.full((20, 4), usual)
    sources[np.arange(20), np.tile(np.arange(4), 5)] = tokens
    sources[::4, 2:] = 0
    targets = np.stack([np.full(20, start), tokens, np.full(20, end), 0 * tokens], 1)
    model = PerformerSeq2SeqLM(
        PerformerSeq2SeqBackbone(9, 1, 2, 16, 32, dropout=0.0, seed=0)
    )
    model.compile(
        keras.optimizers.Adam(0.02),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=keras.backend.backend() == "jax",
    )
    fitted = model.fit(
        inputs(sources, targets[:, :-1]),
        targets[:, 1:],
        sample_weight=(targets[:, 1:] != 0).astype("float32"),  # padding is not learned
        epochs=150,
        batch_size=20,
        verbose=0,
    )
    assert fitted.history["loss"][-1] < 0.1 * fitted.history["loss"][0]
    written = model.generate(sources, 3, [[start]] * 20, stop_token_ids=[end])
    assert np.array_equal(written, targets[:, 1:])


def test_saved_and_loaded(model, tmp_path):
    config = json.loads(json.dumps(model.get_config()))
    again = PerformerSeq2SeqLM.from_config(config)
    assert json.loads(json.dumps(again.get_config())) == config
    path = tmp_path / "model.keras"
    model.save(path)
    size = sum(value.nbytes for value in values(model).values())
    assert path.stat().st_size < 2 * size + 400_000  # each weight once
    restored = keras.saving.load_model(path)
    assert type(restored) is PerformerSeq2SeqLM
    assert restored.backbone.get_config() == model.backbone.get_config()
    assert [w.path for w in restored.weights] == [w.path for w in model.weights]
    source, target = draw_ids(2, 6), draw_ids(2, 7)
    assert np.array_equal(run(restored, source, target), run(model, source, target))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"encoder_token_ids": []}, "`encoder_token_ids` must have at least one row"),
        ({"encoder_token_ids": [[]]}, r"at least one token.*\[0\] of `encoder_token"),
        ({"encoder_token_ids": [[VOCABULARY]]}, "29 in row 0 of `encoder_token_ids`"),
        ({"encoder_token_ids": [[5], [5]]}, "one prompt for each source.*2 rows"),
        ({"prompt_ids": [[]]}, r"at least one token.*rows \[0\] of `prompt_ids`"),
        ({"prompt_ids": [[-1]]}, "-1 in row 0 of `prompt_ids`"),
        ({"prompt_ids": 1}, "`prompt_ids` must be rows of token ids.*of shape ..$"),
        ({"max_new_tokens": 0}, "`max_new_tokens` must be a positive integer"),
        ({"stop_token_ids": [0]}, "token ids from 1 to 28"),
    ],
    ids=str,
)
@pytest.mark.parametrize("method", ["generate", "stream"])
def test_arguments_that_are_refused(model, method, arguments, message):
    given = {"encoder_token_ids": [[5]], "max_new_tokens": N, "prompt_ids": [[1]]}
    with pytest.raises(ValueError, match=message):
        getattr(model, method)(**{**given, **arguments})


def test_models_that_cannot_go_on(model):
    with pytest.raises(ValueError, match="known only when all are chosen"):
        model.stream(SOURCES, N, PROMPTS, "beam")
    with pytest.raises(ValueError, match="must be a `PerformerSeq2SeqBackbone`"):
        PerformerSeq2SeqLM(backbone(causal=True))
    sinusoidal = PerformerSeq2SeqLM(seq2seq_backbone(positions="sinusoidal"))
    with pytest.raises(ValueError, match=r"'rotary' or 'learned'.*'sinusoidal'"):
        sinusoidal.generate(SOURCES, N, PROMPTS)


@pytest.mark.slow
def test_learned_positions_end():
    model = PerformerSeq2SeqLM(
        seq2seq_backbone(positions="learned", max_sequence_length=6, num_layers=1)
    )
    assert next(model.stream(draw_ids(1, 6), 6, [[1]])) > 0
    with pytest.raises(ValueError, match="a source of 7 tokens, max_sequence_length=6"):
        model.generate(draw_ids(1, 7), 6, [[1]])
    with pytest.raises(ValueError, match="a prompt of 1 tokens, max_new_tokens=7"):
        model.generate(draw_ids(1, 6), 7, [[1]])
