"""Bits per token: each token once, with the context that is promised."""

import itertools
import math

import keras
import numpy as np
import pytest
from logits_table import Table, bits_of

from keras_performer.training import evaluate_language_model

V = 7


@pytest.fixture
def text():
    return np.random.default_rng(0).integers(0, V, 101)


def test_a_model_that_looks_back_one_token_needs_no_more(text):
    table = np.random.default_rng(1).normal(size=(1, V, V))
    pairs = list(itertools.pairwise(text))
    expected = np.mean([bits_of(table[0, a], b) for a, b in pairs])
    right = np.mean([table[0, a].argmax() == b for a, b in pairs])
    for context_length in (1, 2, 13, 50, 99, 100, 101, 500):
        for stride in {1, (context_length + 1) // 2, context_length}:
            measured = evaluate_language_model(
                Table(table), text, context_length, stride, batch_size=3
            )
            assert measured.bits_per_token == pytest.approx(expected, rel=1e-6)
            assert measured.accuracy == pytest.approx(right)
            assert measured.num_tokens == 100


def test_the_context_is_at_least_what_the_stride_leaves():
    # Logits tell the position, and the bits of a target by how much context it had.
    length, stride = 12, 5
    logits = np.zeros((length, V, V))
    logits[: length - stride] = np.log([1] + [1e9] * (V - 1))  # a cost for target 0
    text = np.zeros(70, "int32")
    model = Table(logits)
    measured = evaluate_language_model(model, text, length, stride, batch_size=4)
    # Only the first window, whose beginning counts too, has a cost.
    cost = bits_of(logits[0, 0], 0)
    rest = math.log2(V)
    expected = ((length - stride) * cost + (69 - length + stride) * rest) / 69
    assert measured.bits_per_token == pytest.approx(expected, rel=1e-6)
    assert {shape[1] for shape in model.shapes} == {length}


def test_the_standard_error_is_that_of_repeated_texts():
    rng = np.random.default_rng(2)
    table = Table(rng.normal(size=(1, V, V)))
    measured = [
        evaluate_language_model(table, rng.integers(0, V, 1001), 25) for _ in range(200)
    ]
    spread = np.std([each.bits_per_token for each in measured])
    said = np.mean([each.standard_error for each in measured])
    # Four standard errors of a spread of 200, a twentieth each.
    assert said == pytest.approx(spread, rel=0.2)
    short = evaluate_language_model(table, np.arange(5), 25)
    assert math.isnan(short.standard_error)


def test_keras_models_are_measured(text):
    inputs = keras.Input((None,), dtype="int32")
    logits = keras.layers.Embedding(V, V)(inputs)
    model = keras.Model(inputs, logits)
    model.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    loss = model.evaluate(text[None, :-1], text[None, 1:], verbose=0)
    measured = evaluate_language_model(model, text, 10)
    assert measured.bits_per_token == pytest.approx(loss / math.log(2), rel=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"token_ids": [1]}, "at least two tokens"),
        ({"token_ids": [[1, 2]]}, r"shape \(1, 2\)"),
        ({"token_ids": [0.5, 1.0]}, "dtype float64"),
        ({"token_ids": [1, -1, 2]}, "begin at 0. Received: -1"),
        ({"token_ids": [1, 2, V]}, f"id {V} is beyond"),
        ({"context_length": 0}, "context_length=0"),
        ({"stride": 6}, "`stride` must be at most `context_length`, 5"),
        ({"batch_size": 1.5}, "batch_size=1.5"),
        ({"model": Table(np.zeros((1, V)))}, r"outputs of shape \(1, 2\)"),
    ],
)
def test_arguments_out_of_range_are_named(change, message):
    arguments = {
        "model": Table(np.zeros((1, V, V))),
        "token_ids": [1, 2, 3],
        "context_length": 5,
    }
    with pytest.raises(ValueError, match=message):
        evaluate_language_model(**arguments | change)
