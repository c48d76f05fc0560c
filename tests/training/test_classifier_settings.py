"""Settings of a classifier that are out of their range."""

import pytest
from small_classifier import SMALL

from keras_performer.training import ClassifierSettings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tokenizer", "letters"),
        ("class_weight", "equal"),
        ("epochs", 0),
        ("context_length", -1),
        ("num_heads", 1.5),
        ("hidden_dim", 17),
        ("max_bytes", 0),
        ("tokens_per_batch", 64),
        ("dropout", 1.0),
        ("validation_fraction", -0.1),
        ("learning_rate", -1.0),
        ("early_stopping", -1),
        ("problem", "unlabelled"),
        ("label_smoothing", 1.0),
        ("token_dropout", -0.1),
    ],
)
def test_settings_out_of_range_are_named(name, value):
    with pytest.raises(ValueError, match=name):
        ClassifierSettings(data="d", **{**SMALL, name: value})


def test_smoothing_needs_labels():
    with pytest.raises(ValueError, match=r"`label_smoothing`.*a number has none"):
        ClassifierSettings(data="d", problem="regression", label_smoothing=0.1)
