"""Kinds of attention: the present names, and the one of before."""

import pytest

from keras_performer.layers.attention_kinds import (
    ATTENTIONS,
    current_attention,
    renamed_attention,
)


def test_present_names_stay():
    for name in ATTENTIONS:
        assert current_attention(name) == name
    assert current_attention(["linear", "exact"]) == ["linear", "exact"]


def test_the_former_name_warns_as_an_argument_and_loads_in_a_config():
    with pytest.warns(DeprecationWarning, match="'favor'"):
        assert current_attention(["favor", "exact"]) == ["linear", "exact"]
    assert renamed_attention("favor") == "linear"
