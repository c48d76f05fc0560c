"""`PositionEmbedding`: the table's row of each position, padding and segments aside."""

import keras
import numpy as np
import pytest
from layer_inputs import B, F, T, draw, draw_mask, numpy
from tolerances import assert_close

from keras_performer.layers import PositionEmbedding

LONGEST = 19


def built(**arguments):
    layer = PositionEmbedding(LONGEST, seed=0, **arguments)
    layer.build((None, None, F))
    return layer


def test_rows_of_the_table_are_added():
    layer, x = built(), draw(B, T, F)
    table = numpy(layer.embeddings)
    assert table.shape == (LONGEST, F)
    assert_close(numpy(layer(x)), x + table[:T])
    assert_close(numpy(layer(x, start_index=3)), x + table[3 : 3 + T])


def test_each_row_may_start_elsewhere():
    layer, x = built(), draw(B, T, F)
    output = numpy(layer(x, start_index=np.array([0, 5]), mask=np.ones((B, T), "bool")))
    table = numpy(layer.embeddings)
    assert_close(output, x + np.stack([table[:T], table[5 : 5 + T]]))


def test_padding_takes_no_position():
    layer, x, mask = built(), draw(B, T, F), draw_mask(T)
    output = numpy(layer(x, mask=mask))
    for row in range(B):
        alone = numpy(layer(x[row : row + 1, mask[row]]))
        assert_close(output[row : row + 1, mask[row]], alone)


def test_the_keras_mask_counts_and_passes_on():
    layer, mask = built(), draw_mask(T)
    x = keras.layers.Masking()(np.where(mask[..., None], draw(B, T, F), 0))
    output = layer(x)
    assert_close(numpy(output), numpy(layer(numpy(x), mask=mask)))
    assert np.array_equal(numpy(output._keras_mask), mask)


def test_each_segment_starts_at_the_first_row():
    layer, x = built(), draw(B, T, F)
    ids = np.array([[3] * 5 + [9] * (T - 5)] * B)
    table = numpy(layer.embeddings)
    expected = x + np.concatenate([table[:5], table[: T - 5]])
    assert_close(numpy(layer(x, segment_ids=ids)), expected)


def test_a_longer_sequence_is_refused():
    with pytest.raises(ValueError, match="max_sequence_length=19"):
        built()(draw(B, LONGEST + 1, F))


@pytest.mark.parametrize("length", [0, -1, 2.5])
def test_the_length_is_checked(length):
    with pytest.raises(ValueError, match=f"max_sequence_length={length}"):
        PositionEmbedding(length)


def test_the_seed_and_the_deviation_decide():
    tables = [numpy(built(stddev=stddev).embeddings) for stddev in (0.02, 0.02, 0.5)]
    assert np.array_equal(tables[0], tables[1])
    assert 10 < np.std(tables[2]) / np.std(tables[0]) < 40


def test_round_trip():
    config = built(stddev=0.3, name="other", dtype="mixed_bfloat16").get_config()
    assert PositionEmbedding.from_config(config).get_config() == config


def test_files_name_it_as_before():
    registered = keras.saving.get_registered_object("keras_performer>LearnedPositions")
    assert issubclass(registered, PositionEmbedding)
