"""The example of copying and reversing: its data, its two ways to write, its claim."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from keras_performer.models import PerformerSeq2SeqBackbone, PerformerSeq2SeqLM

EXAMPLES = Path(__file__).parents[2] / "examples"
TINY = [
    *("--longest", "4", "--symbols", "8", "--hidden-dim", "16", "--num-heads", "2"),
    *("--batch-size", "8", "--test-sequences", "8"),
]


# `tf.data` keeps its graphs, and says so.
GRAPHS_OF_DATA = "ignore:Even though the `tf.config.experimental_run_functions_eagerly`"


@pytest.fixture
def eagerly():
    """Without graphs, whose making takes longer than so few steps."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture
def seq2seq_copy(monkeypatch):
    """The example, as a module."""
    monkeypatch.syspath_prepend(EXAMPLES)
    name = "seq2seq_copy"
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


def test_targets_are_the_source_forwards_or_backwards(seq2seq_copy):
    arguments = seq2seq_copy.parse([*TINY, "--steps", "1"])
    source, target = (
        ids.numpy() for ids in seq2seq_copy.batch_of(3, 2, 4, arguments, seed=5)
    )
    directions = set()
    for row, wanted in zip(source, target, strict=True):
        row, wanted = row[row != 0], wanted[wanted != 0]
        symbols = row[1:-1]
        assert row[0] == seq2seq_copy.START and row[-1] == seq2seq_copy.END
        assert 2 <= len(symbols) <= 4
        assert len(set(symbols)) == len(symbols)
        assert symbols.min() >= seq2seq_copy.FIRST_SYMBOL
        assert symbols.max() < seq2seq_copy.FIRST_SYMBOL + 8
        directions.add(int(wanted[0]))
        assert np.array_equal(wanted, row if wanted[0] == row[0] else row[::-1])
    assert directions == {seq2seq_copy.START, seq2seq_copy.END}

    again = seq2seq_copy.batch_of(3, 2, 4, arguments, seed=5)[0].numpy()
    other = seq2seq_copy.batch_of(4, 2, 4, arguments, seed=5)[0].numpy()
    assert np.array_equal(source, again)
    assert not np.array_equal(source, other)


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("attention", ["linear", "exact"])
def test_what_is_written_is_the_likeliest_by_the_whole_model(seq2seq_copy, attention):
    backbone = PerformerSeq2SeqBackbone(
        vocabulary_size=11,
        num_layers=1,
        num_heads=2,
        hidden_dim=16,
        intermediate_dim=32,
        dropout=0.0,
        feature_map="softmax",
        num_features=8,
        attention=attention,
        positions="rotary",
        seed=0,
        dtype="float64",  # of weights so large some kernels are too small for float32
    )
    model = PerformerSeq2SeqLM(backbone)
    # Such that a token depends on the whole source and on all that was written.
    generator = np.random.default_rng(0)
    for weight in model.trainable_variables:
        scale = 0.1 if "embedding" in weight.path else 1.0
        weight.assign(scale * generator.normal(size=weight.shape))
    sources = generator.integers(1, 11, (8, 6))
    sources[4:, 4:] = 0
    first_tokens = np.tile([[1], [2]], (4, 1))
    written = seq2seq_copy.write(model, sources, first_tokens, num_tokens=5)
    assert len(np.unique(written, axis=0)) > 2  # or nothing is compared
    before = np.concatenate([first_tokens, written[:, :-1]], axis=1)
    logits = np.array(
        model({"encoder_token_ids": sources, "decoder_token_ids": before})
    )
    logits[..., 0] = -np.inf if attention == "linear" else logits[..., 0]
    assert np.array_equal(written, logits.argmax(-1))


def test_tests_of_too_long_sources_are_refused(seq2seq_copy, capsys):
    with pytest.raises(SystemExit):
        seq2seq_copy.parse(["--longest", "20", "--symbols", "39"])
    assert "sources of 40 different symbols" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.usefixtures("eagerly")
@pytest.mark.filterwarnings(GRAPHS_OF_DATA)
def test_it_runs_and_reports_all_lengths(seq2seq_copy, capsys):
    results = seq2seq_copy.main([*TINY, "--steps", "2"])
    assert list(results) == ["linear", "exact"]
    for of_lengths in results.values():
        assert list(of_lengths) == [2, 4, 6, 8]
        for shares in of_lengths.values():
            assert list(shares) == ["copy", "reverse"]
            assert all(0 <= share <= 1 for pair in shares.values() for share in pair)
    printed = capsys.readouterr().out
    assert "chance is right in 1 of 8 tokens, 12.5%" in printed
    assert printed.count("after 2 steps") == 2
    assert printed.count(" * ") == 4


@pytest.mark.slow
def test_a_minute_teaches_to_copy(seq2seq_copy):
    results = seq2seq_copy.main([])
    for attention in ("linear", "exact"):
        for direction in ("copy", "reverse"):
            tokens, _ = results[attention][7][direction]
            assert tokens > 0.5
