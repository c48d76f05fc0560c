"""Signatures: a constructor shows the arguments that it passes on."""

import inspect

from keras_performer.layers import ExactAttention, FastAttention
from keras_performer.layers.signatures import with_arguments_of


class Line:
    def __init__(self, color, width=1, **kwargs):
        self.color, self.width = color, width


class DashedLine(Line):
    @with_arguments_of(Line)
    def __init__(self, *args, gap, **kwargs):
        super().__init__(*args, **kwargs)
        self.gap = gap


def test_inherited_arguments_stand_before_the_own_ones():
    assert str(inspect.signature(DashedLine)) == "(color, width=1, *, gap, **kwargs)"
    line = DashedLine("red", 2, gap=3)
    assert (line.color, line.width, line.gap) == ("red", 2, 3)


def test_linear_attention_shows_those_of_both():
    own, inherited = (
        # Of the class, Python 3.11.2 shows that of the `__new__` of Keras's layers.
        list(inspect.signature(kind.__init__).parameters)
        for kind in (FastAttention, ExactAttention)
    )
    assert [name for name in own if name in inherited] == inherited
    assert "feature_map" in own
