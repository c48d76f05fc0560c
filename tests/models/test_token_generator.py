"""Generation: the tokens of the parallel form, in memory that does not grow."""

import os
import sys

import keras
import numpy as np
import pytest
from test_performer_backbone import VOCABULARY, backbone, draw_ids, randomize, run
from tolerances import assert_close

from keras_performer.models import PerformerCausalLM, samplers, token_generator

PROMPTS = [[5, 3, 2, 8, 9, 1, 4], [7], [8, 9, 12]]
N = 5
VARIANTS = [
    {"positions": "learned", "max_sequence_length": 31, "num_layers": 1},
    {
        "feature_map": ["softmax", "relu"],
        "exact_window": [None, 3],
        "num_key_value_heads": 1,
        "max_wavelength": 50,
    },
]


def language_model(**arguments):
    return randomize(PerformerCausalLM(backbone(causal=True, **arguments)))


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(7)
    return language_model(num_layers=1)


def assert_greedy(model, prompts, tokens):
    """Asserts that a pass over each row alone chooses, at each place, what is there."""
    for prompt, row in zip(prompts, tokens.tolist(), strict=True):
        logits = run(model, np.array([[*prompt, *row]], "int32"))[0]
        chosen = 1 + logits[len(prompt) - 1 : -1, 1:].argmax(axis=1)  # 0 is padding
        assert row == chosen.tolist()


@pytest.mark.parametrize("arguments", VARIANTS, ids=str)
def test_tokens_are_those_of_the_parallel_form_of_each_row_alone(arguments):
    model = language_model(**arguments)
    tokens = model.generate(PROMPTS, N)
    assert tokens.dtype == "int32"
    assert_greedy(model, PROMPTS, tokens)
    assert len(np.unique(tokens)) > 2  # a model that says one thing proves little


def test_padding_of_prompts_is_left_out(model):
    expected = model.generate(PROMPTS, N)
    for side in ("left", "right"):
        padded = np.zeros((3, 9), "int64")
        for row, prompt in zip(padded, PROMPTS, strict=True):
            row[-len(prompt) :] = prompt
            if side == "right":
                row[:] = np.roll(row, len(prompt))
        assert np.array_equal(model.generate(padded, N), expected)


def test_the_state_does_not_grow(model):
    state = model.backbone.initial_state(2)
    first = keras.tree.map_structure(lambda x: (x.shape, x.dtype), state)
    for length in (1, 70):
        _, state = model.backbone.stream(draw_ids(2, length), state)
        assert keras.tree.map_structure(lambda x: (x.shape, x.dtype), state) == first
    assert np.asarray(state[0].position).tolist() == [71, 71]


def test_a_padded_stream_is_that_of_the_row_alone(model):
    ids = draw_ids(1, 9)
    state = model.backbone.initial_state(1)
    expected, alone = model.backbone.stream(ids, state)
    output, padded = model.backbone.stream(np.pad(ids, [(0, 0), (4, 0)]), state)
    output, expected = map(keras.ops.convert_to_numpy, (output, expected))
    assert_close(output[:, 4:], expected)
    for parts in zip(*map(keras.tree.flatten, (alone, padded)), strict=True):
        assert_close(*map(keras.ops.convert_to_numpy, parts))


def test_a_long_prompt_is_read_in_chunks(model, monkeypatch):
    prompts = [draw_ids(length).tolist() for length in (30, 21, 4)]
    monkeypatch.setattr(token_generator, "MAX_CHUNK_LENGTH", 16)
    lengths, stream = [], model.backbone.stream
    monkeypatch.setattr(
        model.backbone,
        "stream",
        lambda ids, state: lengths.append(ids.shape[1]) or stream(ids, state),
    )
    tokens = model.generate(prompts, N)
    assert max(lengths) == 16  # once where it is compiled, for each span elsewhere
    assert_greedy(model, prompts, tokens)


def test_nothing_is_compiled_again_for_another_length(model, monkeypatch):
    if keras.backend.backend() == "torch":
        pytest.skip("nothing is compiled")
    model.generate(draw_ids(3, 6), N)
    traced, stream = [], model.backbone.stream
    monkeypatch.setattr(
        model.backbone,
        "stream",
        lambda ids, state: traced.append(ids.shape) or stream(ids, state),
    )
    for length in (7, 8, 9):
        model.generate(draw_ids(3, length), N)
    assert not traced
    model.generate(draw_ids(3, 1100), N)
    assert traced == [(3, 512)]


def test_weights_that_change_are_seen(model):
    before = model.generate(PROMPTS, N)
    weight = model.backbone.token_embedding.embeddings
    kept = keras.ops.convert_to_numpy(weight)
    weight.assign(kept[::-1])
    try:
        tokens = model.generate(PROMPTS, N)
        assert_greedy(model, PROMPTS, tokens)
    finally:
        weight.assign(kept)
    assert not np.array_equal(tokens, before)


def test_stop_tokens(model):
    plain = model.generate(PROMPTS, N)
    stop = plain[0, 1]
    tokens = model.generate(PROMPTS, N, stop_token_ids=[stop])
    for row, expected in zip(tokens, plain, strict=True):
        places = np.flatnonzero(expected == stop)
        end = places[0] + 1 if places.size else N
        assert row.tolist() == [*expected[:end], *[0] * (N - end)]
    assert 0 in tokens[0]
    steps = list(model.stream(PROMPTS[:1] * 3, N, stop_token_ids=[stop]))
    assert [step.tolist() for step in steps] == [[x] * 3 for x in tokens[0] if x]
    steps = list(model.stream(PROMPTS, N, stop_token_ids=[stop]))
    assert np.array_equal(np.stack(steps, axis=1), tokens)


@pytest.mark.parametrize("name", ["greedy", "top_p"])
def test_a_stream_yields_the_same_tokens_as_they_come(model, name):
    expected = model.generate(PROMPTS, N, name, seed=3)
    stream = model.stream(PROMPTS, N, name, seed=3)
    first = next(stream)
    assert first.dtype == "int32"
    assert np.array_equal(np.stack([first, *stream], axis=1), expected)


def test_beams_take_their_states_along(model):
    # As many beams as there are tokens find the likeliest pair.
    every = np.arange(1, VOCABULARY)
    tokens = model.generate(PROMPTS, 2, samplers.BeamSampler(len(every)))
    for prompt, row in zip(PROMPTS, tokens, strict=True):
        ids = np.array([[*prompt, first] for first in every], "int32")
        logits = run(model, ids)[:, -2:, 1:].astype("float64")
        log_probs = logits - np.log(np.exp(logits).sum(axis=2, keepdims=True))
        pairs = log_probs[0, 0][:, None] + log_probs[:, 1]
        first, second = np.unravel_index(pairs.argmax(), pairs.shape)
        assert row.tolist() == [every[first], every[second]]


@pytest.mark.slow
def test_samplers_of_keras_hub(model):
    if sys.version_info < (3, 11):
        pytest.skip("KerasHub needs Python 3.11: this is 3.10")
    theirs = pytest.importorskip("keras_hub").samplers
    if keras.backend.backend() == "jax" and os.environ["JAX_ENABLE_X64"] == "1":
        pytest.skip("KerasHub's samplers mix int32 and int64 indices: JAX_ENABLE_X64=0")
    stop = [int(model.generate(PROMPTS, N)[0, 1])]
    for sampler, ours, stops in (
        (theirs.GreedySampler(), "greedy", stop),
        (theirs.BeamSampler(num_beams=5), "beam", None),
    ):
        tokens = model.generate(PROMPTS, N, sampler, stops)
        assert np.array_equal(tokens, model.generate(PROMPTS, N, ours, stops)), ours
    steps = list(model.stream(PROMPTS, N, theirs.RandomSampler(), seed=3))
    expected = model.generate(PROMPTS, N, "random", seed=3)
    assert np.array_equal(np.stack(steps, axis=1), expected)
    with pytest.raises(ValueError, match="must return one sequence for each row"):
        all_beams = theirs.BeamSampler(num_beams=2, return_all_beams=True)
        model.generate(PROMPTS, N, all_beams)
