"""Token dropout: how much becomes padding, what never does, and that it repeats."""

import numpy as np
import pytest
import tensorflow as tf

from keras_performer.text import TokenDropout

STANDARD_ERRORS = 4


def drop(token_ids, step=0, rate=0.3, seed=0):
    dropout = TokenDropout(rate, seed)
    return dropout(tf.constant(step, tf.int64), tf.constant(token_ids)).numpy()


def test_a_share_becomes_padding_and_the_rest_stays():
    token_ids = np.random.default_rng(0).integers(1, 37, (50, 101), np.int32)
    left = drop(token_ids)
    is_dropped = left == 0
    standard_error = np.sqrt(0.3 * 0.7 / token_ids.size)
    assert abs(is_dropped.mean() - 0.3) < STANDARD_ERRORS * standard_error
    np.testing.assert_array_equal(left[~is_dropped], token_ids[~is_dropped])
    np.testing.assert_array_equal(drop(token_ids, rate=0), token_ids)


def test_a_row_is_never_left_empty():
    token_ids = np.zeros((200, 4), np.int32)
    token_ids[:, 0] = 5
    np.testing.assert_array_equal(drop(token_ids, rate=0.9), token_ids)


def test_what_is_drawn_is_a_function_of_seed_and_step():
    rows = np.ones((4, 64), np.int32)
    batches = tf.data.Dataset.from_tensors((rows, np.arange(4))).repeat(9)
    dropout = TokenDropout(0.3, seed=1)
    whole = list(batches.enumerate().map(dropout))
    resumed = list(batches.skip(5).enumerate(5).map(dropout))
    for (ids, labels), (again, same_labels) in zip(whole[5:], resumed, strict=True):
        np.testing.assert_array_equal(ids, again)
        np.testing.assert_array_equal(labels, same_labels)
    assert (whole[0][0].numpy() != whole[1][0].numpy()).any()
    assert (drop(rows, seed=1) != drop(rows, seed=2)).any()


@pytest.mark.parametrize("rate", [-0.1, 1])
def test_a_rate_out_of_range_is_refused(rate):
    with pytest.raises(ValueError, match="rate"):
        TokenDropout(rate)
