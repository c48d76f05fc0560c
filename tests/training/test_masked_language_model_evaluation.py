"""Accuracy and perplexity at the chosen positions."""

import numpy as np
import pytest
from logits_table import Table, bits_of

from keras_performer.training import evaluate_masked_language_model

V = 7


def test_masked_models_are_measured_at_the_chosen_positions():
    rng = np.random.default_rng(3)
    table = rng.normal(size=(1, V, V))
    counts = np.array([5, 0, 1, 9, 2, 2, 2])
    batches, chosen = [], []
    for rows in (2, 3):
        inputs, targets = rng.integers(0, V, (2, rows, 11))
        weights = rng.integers(0, 2, (rows, 11))
        batches.append((inputs, targets, weights))
        chosen += zip(inputs[weights > 0], targets[weights > 0], strict=True)
    measured = evaluate_masked_language_model(Table(table), batches, counts)
    bits = np.mean([bits_of(table[0, a], b) for a, b in chosen])
    probabilities = (counts + 1) / (counts + 1).sum()
    unigram = np.mean([-np.log2(probabilities[b]) for _, b in chosen])
    assert measured.num_tokens == len(chosen)
    assert measured.perplexity == pytest.approx(2**bits, rel=1e-5)
    assert measured.accuracy == pytest.approx(
        np.mean([table[0, a].argmax() == b for a, b in chosen])
    )
    assert measured.unigram_perplexity == pytest.approx(2**unigram)
    assert measured.unigram_accuracy == np.mean([b == 3 for _, b in chosen])


def test_masked_batches_that_do_not_fit_are_named():
    table, ids = Table(np.zeros((1, V, V))), np.zeros((2, 3), "int32")
    with pytest.raises(ValueError, match="choose no position"):
        evaluate_masked_language_model(table, [(ids, ids, ids)], np.ones(V))
    with pytest.raises(ValueError, match=r"8 `token_counts`. Expected .*\(2, 3, 8\)"):
        evaluate_masked_language_model(table, [(ids, ids, ids)], np.ones(8))
