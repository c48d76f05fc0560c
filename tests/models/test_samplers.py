"""Samplers: the tokens that NumPy says, as often as it says."""

import itertools
import json

import keras
import numpy as np
import pytest
from compilers import wrappers
from keras import ops
from tolerances import STANDARD_ERRORS

from keras_performer.models import samplers

DRAWS, VOCABULARY = 20_000, 5
LOGITS = np.log(np.array([0.05, 0.4, 0.1, 0.15, 0.3], "float32"))


def array(x):
    return ops.convert_to_numpy(x)


def softmax(x):
    odds = np.exp(x - x.max(axis=-1, keepdims=True))
    return odds / odds.sum(axis=-1, keepdims=True)


def choose(sampler):
    """Many draws with the same logits."""
    tokens = array(sampler.choose(np.tile(LOGITS, (DRAWS, 1))))
    assert tokens.shape == (DRAWS,)
    return tokens


def assert_drawn(tokens, expected):
    """Asserts that tokens come as often as their probabilities say."""
    expected = np.asarray(expected)
    counts = np.bincount(tokens, minlength=len(expected))
    assert not np.any(counts[expected == 0])
    error = np.sqrt(expected * (1 - expected) / len(tokens))
    assert np.all(
        np.abs(counts / len(tokens) - expected) <= STANDARD_ERRORS * error + 1e-12
    )


def only(*tokens, logits=LOGITS):
    """The probabilities where some tokens alone are left."""
    kept = np.where(np.isin(np.arange(VOCABULARY), tokens), np.exp(logits), 0)
    return kept / kept.sum()


def test_greedy_takes_the_likeliest():
    logits = np.random.default_rng(0).standard_normal((7, VOCABULARY))
    tokens = samplers.GreedySampler().choose(logits)
    assert np.array_equal(array(tokens), logits.argmax(axis=1))


@pytest.mark.parametrize("temperature", [1.0, 0.4, 3.0])
def test_random_draws_at_a_temperature(temperature):
    tokens = choose(samplers.RandomSampler(temperature, seed=1))
    assert_drawn(tokens, softmax(LOGITS / temperature))


@pytest.mark.parametrize(
    ("k", "left"), [(1, [1]), (2, [1, 4]), (3, [1, 3, 4]), (9, range(5))]
)
def test_top_k(k, left):
    assert_drawn(choose(samplers.TopKSampler(k, seed=1)), only(*left))


@pytest.mark.parametrize(
    ("p", "left"),
    [(0.01, [1]), (0.39, [1]), (0.5, [1, 4]), (0.8, [1, 3, 4]), (1.0, range(5))],
)
def test_top_p(p, left):
    assert_drawn(choose(samplers.TopPSampler(p, seed=1)), only(*left))


def test_the_temperature_goes_before_the_cut():
    # At this temperature the first token has more than half of the probability.
    hot, cold = (samplers.TopPSampler(0.5, t, seed=1) for t in (1.0, 0.5))
    assert set(choose(hot)) == {1, 4}
    assert set(choose(cold)) == {1}
    drawn = choose(samplers.TopKSampler(2, 0.5, seed=1))
    assert_drawn(drawn, only(1, 4, logits=2 * LOGITS))


def test_draws_go_on_and_seeds_repeat_them():
    first, again, other = (samplers.RandomSampler(seed=seed) for seed in (1, 1, 2))
    tokens = choose(first)
    assert np.array_equal(tokens, choose(again))
    assert not np.array_equal(tokens, choose(first))
    assert not np.array_equal(tokens, choose(other))


# The loop.


def uniform(prompt, cache, index):
    return ops.zeros((ops.shape(prompt)[0], VOCABULARY)), None, cache


def test_each_position_has_a_draw_of_its_own():
    sampler = samplers.RandomSampler(seed=1)
    before = [array(v) for v in sampler.variables]
    prompt = np.zeros((4000, 4), "int32")
    tokens = array(sampler(uniform, prompt, index=1))
    assert not np.any(tokens[:, 0])
    assert_drawn(tokens[:, 1:].ravel(), np.full(VOCABULARY, 1 / VOCABULARY))
    for i, j in ((1, 2), (2, 3), (1, 3)):
        assert_drawn((tokens[:, i] == tokens[:, j]).astype(int), [0.8, 0.2])
    assert not np.array_equal(before, [array(v) for v in sampler.variables])
    assert not np.array_equal(tokens, array(sampler(uniform, prompt, index=1)))


def test_in_a_graph():
    prompt = np.zeros((3, 9), "int32")

    def tokens():
        return samplers.TopKSampler(3, seed=1)(remembering, prompt, CACHE, index=1)

    expected = array(tokens())
    sampler = samplers.TopKSampler(3, seed=1)
    if keras.backend.backend() == "jax":
        pytest.skip("seeds are variables: `PerformerCausalLM` passes them to JAX")
    compiled = wrappers()[0](lambda: sampler(remembering, prompt, CACHE, index=1))
    assert np.array_equal(array(compiled()), expected)


HISTORIES = 3 * 4**4
TABLE = np.random.default_rng(3).standard_normal((HISTORIES, 4)).astype("float32")
TABLE[:, 0] = -30
CACHE = np.array([1, 2, 3], "int32")


def remembering(prompt, cache, index):
    """Logits that depend on all tokens so far, by a cache alone."""
    cache = (cache * 4 + prompt[:, index - 1]) % HISTORIES
    return ops.take(TABLE, cache, axis=0), None, cache


def probability(history, tokens, stop=()):
    """The log-probability of tokens, by `remembering`."""
    total, last, stopped = 0.0, 0, False
    for token in tokens:
        history = (history * 4 + last) % HISTORIES
        if not stopped:
            total += np.log(softmax(TABLE[history].astype("float64")))[token]
        elif token:
            return -np.inf
        stopped, last = stopped or token in stop, token
    return total


@pytest.mark.parametrize("stop", [(), (2,)], ids=str)
def test_many_beams_find_what_exhaustive_search_finds(stop):
    prompt = np.zeros((3, 5), "int32")
    tokens = samplers.BeamSampler(num_beams=4**3)(
        remembering, prompt, CACHE, index=1, stop_token_ids=stop
    )
    sequences = list(itertools.product(range(4), repeat=4))
    for row, history in zip(array(tokens), CACHE, strict=True):
        best = max(sequences, key=lambda each: probability(history, each, stop))
        assert row.tolist() == [0, *best]
    if stop:
        assert np.any(array(tokens)[:, 1:] == 0)  # or the test would not see it


def test_one_beam_is_greedy_and_more_are_likelier():
    prompt = np.zeros((3, 5), "int32")

    def total(sampler):
        tokens = array(sampler(remembering, prompt, CACHE, index=1))[:, 1:]
        return tokens, [probability(*each) for each in zip(CACHE, tokens, strict=True)]

    greedy, _ = total(samplers.GreedySampler())
    one, its_probability = total(samplers.BeamSampler(num_beams=1))
    assert np.array_equal(greedy, one)
    _, best_probability = total(samplers.BeamSampler(num_beams=4**3))
    assert np.all(np.array(best_probability) >= its_probability)
    assert sum(best_probability) > sum(its_probability)


@pytest.mark.parametrize("name", ["greedy", "top_k", "beam"])
def test_tokens_that_are_given_stay(name):
    prompt = np.array([[1, 3, 0, 2, 0], [1, 0, 0, 0, 0]], "int32")
    tokens = samplers.get(name)(
        remembering, prompt, CACHE[:2], index=1, mask=prompt != 0, stop_token_ids=[3]
    )
    tokens = array(tokens)
    assert np.array_equal(tokens[prompt != 0], prompt[prompt != 0])
    # The stop token that is given does not stop the row.
    assert tokens[0, 2] != 0


def test_a_row_that_has_stopped_stays_stopped():
    def count(prompt, cache, index):
        return ops.one_hot(prompt[:, index - 1] + 1, 12), None, cache

    prompt = np.array([[3, 0, 0, 0], [6, 0, 0, 0], [8, 0, 0, 0]], "int32")
    tokens = samplers.GreedySampler()(count, prompt, index=1, stop_token_ids=[5, 7])
    assert array(tokens).tolist() == [[3, 4, 5, 0], [6, 7, 0, 0], [8, 9, 10, 11]]


# Names and configurations.


@pytest.mark.parametrize(
    "sampler",
    [
        samplers.GreedySampler(),
        samplers.RandomSampler(0.7, seed=3),
        samplers.TopKSampler(4, 0.7, seed=3),
        samplers.TopPSampler(0.4, 0.7, seed=3),
        samplers.BeamSampler(7),
    ],
    ids=lambda sampler: type(sampler).__name__,
)
def test_round_trip(sampler):
    config = json.loads(json.dumps(samplers.serialize(sampler)))
    for restored in (samplers.deserialize(config), samplers.get(config)):
        assert type(restored) is type(sampler)
        assert restored.get_config() == sampler.get_config()
    assert samplers.get(sampler) is sampler


def test_names():
    found = {name: type(samplers.get(name)) for name in ("random", "top_p", "beam")}
    assert found == {
        "random": samplers.RandomSampler,
        "top_p": samplers.TopPSampler,
        "beam": samplers.BeamSampler,
    }


@pytest.mark.parametrize("identifier", ["likely", None, 3, samplers.GreedySampler])
def test_unknown_samplers(identifier):
    with pytest.raises(ValueError, match=r"Unknown sampler: .*'beam', 'greedy'"):
        samplers.get(identifier)


def test_the_configuration_of_something_else():
    config = keras.saving.serialize_keras_object(keras.initializers.Zeros())
    with pytest.raises(ValueError, match="Expected the configuration of a sampler"):
        samplers.get(config)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: samplers.RandomSampler(temperature=0), "`temperature` must be"),
        (lambda: samplers.TopKSampler(k=0), "`k` must be a positive integer"),
        (lambda: samplers.TopKSampler(k=2.0), "`k` must be a positive integer"),
        (lambda: samplers.TopPSampler(p=0), "`p` must be a probability"),
        (lambda: samplers.TopPSampler(p=1.1), "`p` must be a probability"),
        (lambda: samplers.BeamSampler(num_beams=0), "`num_beams` must be"),
    ],
)
def test_arguments_that_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
