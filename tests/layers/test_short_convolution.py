"""`ShortConvolution`: by its formula, over what counts, in a stream as in the whole."""

import itertools

import keras
import numpy as np
import pytest
from gradients import value_and_gradients
from layer_inputs import B, F, T, draw, draw_mask, numpy
from tolerances import assert_close

from keras_performer.layers import ShortConvolution

pytestmark = pytest.mark.backends

IDS = np.array([[7] * 5 + [3] * (T - 5)] * B)
KINDS = pytest.mark.parametrize(
    ("width", "causal"), [(4, True), (1, True), (3, False), (4, False)]
)


def make(width=4, causal=True):
    kernel = keras.initializers.RandomNormal(stddev=1.0, seed=1)
    layer = ShortConvolution(width, causal, kernel)
    layer.build((None, None, F))
    return layer


def by_formula(layer, row):
    """The convolution of a sequence (T, F) alone, position by position."""
    behind = 0 if layer.causal else (layer.width - 1) // 2
    kernel, output = numpy(layer.kernel), np.zeros_like(row)
    for t, j in itertools.product(range(len(row)), range(layer.width)):
        source = t + behind - j
        if 0 <= source < len(row):
            output[t] += kernel[j] * row[source]
    return output


@KINDS
def test_the_output_by_the_formula(width, causal):
    layer, x = make(width, causal), draw(B, T, F)
    for row, output in zip(x, numpy(layer(x)), strict=True):
        assert_close(output, by_formula(layer, row))


@KINDS
def test_what_is_hidden_is_not_there(width, causal):
    layer, x, mask = make(width, causal), draw(B, T, F), draw_mask(T)
    x[~mask] = np.nan
    output = numpy(layer(x, mask=mask))
    for row in range(B):
        assert_close(output[row, mask[row]], by_formula(layer, x[row, mask[row]]))


@KINDS
def test_nothing_passes_between_segments(width, causal):
    layer, x, mask = make(width, causal), draw(B, T, F), draw_mask(T)
    for given in (None, mask):
        output = numpy(layer(x, mask=given, segment_ids=IDS))
        counts = np.ones((B, T), bool) if given is None else given
        for row, segment in itertools.product(range(B), (7, 3)):
            part = (IDS[row] == segment) & counts[row]
            assert_close(output[row, part], by_formula(layer, x[row, part]))


def test_gradients_with_a_mask_are_those_without():
    layer, x, mask = make(), draw(1, T, F), draw_mask(T)[:1]
    upstream = draw(1, T, F, seed=1) * mask[..., None]
    _, (actual,) = value_and_gradients(lambda x: layer(x, mask=mask), [x], upstream)
    keep = mask[0]
    _, (expected,) = value_and_gradients(layer, [x[:, keep]], upstream[:, keep])
    assert_close(actual[:, keep], expected)
    assert not actual[:, ~keep].any()


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("cuts", [(0, 13), (0, 1, 2, 13), (0, 2, 2, 7, 13)], ids=str)
def test_any_cut_gives_the_whole(cuts, masked):
    layer, x = make(), draw(B, T, F)
    mask = draw_mask(T) if masked else None
    whole, state, outputs = numpy(layer(x, mask=mask)), layer.initial_state(B), []
    for start, end in itertools.pairwise(cuts):
        part = None if mask is None else mask[:, start:end]
        output, state = layer.advance(x[:, start:end], state, part)
        outputs.append(numpy(output))
    actual = np.concatenate(outputs, axis=1)
    counts = np.ones((B, T), bool) if mask is None else mask
    assert_close(actual[counts], whole[counts])


def test_a_stream_needs_a_causal_one():
    layer = make(3, causal=False)
    with pytest.raises(ValueError, match="`causal=True`"):
        layer.advance(draw(B, T, F), layer.initial_state(B))


def test_the_starting_values_keep_the_size():
    layer = ShortConvolution(4)
    layer.build((None, None, 10_000))
    kernel = numpy(layer.kernel)
    assert np.abs(kernel).max() <= 0.5
    assert np.isclose(np.square(kernel).sum(axis=0).mean(), 1 / 3, rtol=0.02)


def test_a_width_must_be_positive():
    with pytest.raises(ValueError, match="`width` must be a positive integer"):
        ShortConvolution(0)


def test_its_config_makes_it_again():
    layer = make(3, causal=False)
    again = ShortConvolution.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    assert (again.width, again.causal) == (3, False)
