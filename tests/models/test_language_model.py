"""`LanguageModel`: seeds, saved models, and what `generate` and `stream` refuse."""

import keras
import numpy as np
import pytest
from test_performer_backbone import VOCABULARY, backbone, randomize

from keras_performer.models import PerformerCausalLM

PROMPTS = [[5, 3, 2, 8, 9, 1, 4], [7], [8, 9, 12]]
N = 5


def language_model(**arguments):
    return randomize(PerformerCausalLM(backbone(causal=True, **arguments)))


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(7)
    return language_model(num_layers=1)


def test_a_seed_gives_the_same_tokens_again(model):
    first, again, other = (
        model.generate(PROMPTS, N, "random", seed=seed) for seed in (3, 3, 4)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert not np.array_equal(other, model.generate(PROMPTS, N, "random"))
    assert not np.any(first == 0)


def test_a_saved_model_generates_the_same(model, tmp_path):
    expected = model.generate(PROMPTS, N)
    model.save(tmp_path / "model.keras")
    restored = keras.saving.load_model(tmp_path / "model.keras")
    assert type(restored) is PerformerCausalLM
    assert np.array_equal(restored.generate(PROMPTS, N), expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"prompt_ids": []}, "at least one row"),
        ({"prompt_ids": [[5], []]}, r"at least one token.*rows \[1\]"),
        ({"prompt_ids": [[0, 0]]}, "at least one token"),
        ({"prompt_ids": [5, 3]}, r"must be rows of token ids.*\[\[5, 3\]\]"),
        ({"prompt_ids": [[5.0]]}, "must be integers.*float64"),
        ({"prompt_ids": [[5, VOCABULARY]]}, "less than 29.*Received: 29 in row 0"),
        ({"prompt_ids": [[-1]]}, "Received: -1 in row 0"),
        ({"max_new_tokens": 0}, "`max_new_tokens` must be a positive integer"),
        ({"max_new_tokens": 2.0}, "`max_new_tokens` must be a positive integer"),
        ({"sampler": "likely"}, "Unknown sampler: 'likely'"),
        ({"stop_token_ids": [VOCABULARY]}, "`stop_token_ids` must be a list"),
        ({"stop_token_ids": [0]}, "token ids from 1 to 28"),
        ({"stop_token_ids": 5}, "`stop_token_ids` must be a list"),
    ],
    ids=str,
)
@pytest.mark.parametrize("method", ["generate", "stream"])
def test_arguments_that_are_refused(model, method, arguments, message):
    with pytest.raises(ValueError, match=message):
        getattr(model, method)(
            **{"prompt_ids": [[5]], "max_new_tokens": N, **arguments}
        )


def test_beams_are_not_streamed(model):
    with pytest.raises(ValueError, match="known only when all are chosen"):
        model.stream(PROMPTS, N, "beam")


def test_backbones_that_cannot_go_on():
    sinusoidal = PerformerCausalLM(backbone(causal=True, positions="sinusoidal"))
    with pytest.raises(ValueError, match=r"'rotary' or 'learned'.*'sinusoidal'"):
        sinusoidal.generate(PROMPTS, N)
    learned = language_model(positions="learned", max_sequence_length=31, num_layers=1)
    with pytest.raises(ValueError, match="a prompt of 7 tokens, max_new_tokens=26"):
        learned.generate(PROMPTS, 26)
    with pytest.raises(ValueError, match="causal=False"):
        backbone().initial_state(2)
