"""BERT's masking: what is chosen, what becomes of it, and that it can be repeated."""

import numpy as np
import pytest
import tensorflow as tf

from keras_performer.text import TokenMasking

VOCABULARY, MASK, SPECIAL = 40, 39, (37, 38)
ORDINARY = np.arange(1, 37)
STANDARD_ERRORS = 4


def random_ids(shape, low=1, high=37):
    return np.random.default_rng(0).integers(low, high, shape, np.int32)


def mask(token_ids, step=0, **arguments):
    arguments = {"special_ids": SPECIAL, **arguments}
    masking = TokenMasking(VOCABULARY, MASK, **arguments)
    return [array.numpy() for array in masking(tf.constant(step, tf.int64), token_ids)]


def assert_share(count, total, share):
    """A count of independent draws is within its standard errors."""
    standard_error = np.sqrt(share * (1 - share) / total)
    assert abs(count / total - share) < STANDARD_ERRORS * standard_error


@pytest.mark.parametrize("rate", [0.15, 0.5, 1.0])
def test_a_share_of_each_row_is_chosen(rate):
    token_ids = random_ids((50, 101))
    _, targets, weights = mask(token_ids, rate=rate)
    np.testing.assert_array_equal(targets, token_ids)
    assert weights.dtype == np.float32 and set(np.unique(weights)) <= {0, 1}
    assert (weights.sum(axis=1) == round(rate * 101)).all()


def test_rows_differ_and_positions_are_equally_likely():
    rows, length = 4000, 20
    _, _, weights = mask(random_ids((rows, length)))
    assert (weights.sum(axis=1) == 3).all()
    for count in weights.sum(axis=0):
        assert_share(count, rows, 3 / length)


def test_the_chosen_are_masked_replaced_or_kept():
    token_ids = random_ids((400, 200))
    inputs, _, weights = mask(token_ids)
    chosen = weights == 1
    np.testing.assert_array_equal(inputs[~chosen], token_ids[~chosen])
    total = chosen.sum()
    assert_share((inputs[chosen] == MASK).sum(), total, 0.8)
    kept = inputs[chosen] == token_ids[chosen]
    # A drawn id may be the one that was there.
    assert_share(kept.sum(), total, 0.1 + 0.1 / len(ORDINARY))
    replaced = inputs[chosen & (inputs != MASK) & (inputs != token_ids)]
    assert set(replaced) == set(ORDINARY)
    for token_id in ORDINARY:
        assert_share((replaced == token_id).sum(), len(replaced), 1 / len(ORDINARY))


def test_padding_and_special_ids_are_never_chosen():
    token_ids = random_ids((200, 60), low=0, high=VOCABULARY)
    token_ids[:, 40:] = 0
    inputs, _, weights = mask(token_ids, rate=1.0)
    ordinary = np.isin(token_ids, ORDINARY)
    np.testing.assert_array_equal(weights == 1, ordinary)
    np.testing.assert_array_equal(inputs[~ordinary], token_ids[~ordinary])
    assert not np.isin(inputs[ordinary], [0, *SPECIAL]).any()


def test_the_share_is_of_the_positions_that_can_be_chosen():
    token_ids = random_ids((6, 100))
    for row, length in enumerate((0, 1, 2, 20, 40, 100)):
        token_ids[row, length:] = 0
    token_ids[5, :50] = SPECIAL[0]
    _, _, weights = mask(token_ids)
    # At least one where there is any; 50 × 0.15 is rounded to an even number.
    assert weights.sum(axis=1).tolist() == [0, 1, 1, 3, 6, 8]


def test_ties_among_many_positions_do_not_change_the_number():
    token_ids = np.ones((1, 2**17), np.int32)  # float32 has 2**23 uniform numbers
    _, _, weights = mask(token_ids, rate=0.5)
    assert weights.sum() == 2**16


def test_the_draw_is_a_function_of_seed_and_step():
    token_ids = random_ids((8, 100))
    first = mask(token_ids, step=7, seed=3)
    tf.random.set_seed(1234)
    for again, array in zip(mask(token_ids, step=7, seed=3), first, strict=True):
        np.testing.assert_array_equal(again, array)
    for other in ({"step": 8, "seed": 3}, {"step": 7, "seed": 4}):
        assert (mask(token_ids, **other)[2] != first[2]).any()
        assert (mask(token_ids, **other)[0] != first[0]).any()


def test_a_dataset_that_goes_on_masks_as_one_without_interruption():
    batches = tf.data.Dataset.from_tensor_slices(random_ids((10, 4, 50)))
    masking = TokenMasking(VOCABULARY, MASK)
    whole = list(batches.enumerate().map(masking).as_numpy_iterator())
    resumed = batches.skip(6).enumerate(start=6).map(masking).as_numpy_iterator()
    for expected, actual in zip(whole[6:], resumed, strict=True):
        for a, b in zip(expected, actual, strict=True):
            np.testing.assert_array_equal(a, b)
    for (inputs, targets, weights), step in zip(whole, range(10), strict=True):
        eager = masking(tf.constant(step, tf.int64), targets)
        np.testing.assert_array_equal(inputs, eager[0])
        np.testing.assert_array_equal(weights, eager[2])


def test_other_values_of_a_dictionary_are_passed_through():
    token_ids = random_ids((2, 30))
    batch = {"token_ids": token_ids, "segment_ids": np.ones((2, 30), np.int32)}
    inputs, targets, weights = TokenMasking(VOCABULARY, MASK)(0, batch)
    alone = TokenMasking(VOCABULARY, MASK)(0, token_ids)
    assert sorted(inputs) == ["segment_ids", "token_ids"]
    assert inputs["segment_ids"] is batch["segment_ids"]
    np.testing.assert_array_equal(inputs["token_ids"], alone[0])
    np.testing.assert_array_equal(targets, token_ids)
    np.testing.assert_array_equal(weights, alone[2])
    assert batch["token_ids"] is token_ids, "what was passed is not changed"


def test_lengths_may_be_unknown_and_ids_of_any_integers():
    batches = tf.data.Dataset.from_tensor_slices(random_ids((3, 20)).astype("uint8"))
    batches = batches.padded_batch(2, padded_shapes=[None])
    masked = batches.enumerate().map(TokenMasking(VOCABULARY, MASK))
    assert [tuple(spec.shape) for spec in masked.element_spec] == [(None, None)] * 3
    assert [weights.shape for _, _, weights in masked] == [(2, 20), (1, 20)]
    assert masked.element_spec[0].dtype == tf.int32


@pytest.mark.parametrize("token_id", [-1, VOCABULARY])
def test_ids_out_of_the_vocabulary_are_refused(token_id):
    batches = tf.data.Dataset.from_tensors(tf.constant([[1, token_id]]))
    masked = batches.enumerate().map(TokenMasking(VOCABULARY, MASK))
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"{token_id}") as caught:
        list(masked)
    assert "not from 0 to 39, as vocabulary_size=40 was passed" in str(caught.value)
    with pytest.raises(tf.errors.InvalidArgumentError, match="not from 0 to 39"):
        TokenMasking(VOCABULARY, MASK)(0, tf.constant([[1, token_id]]))


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (np.ones(4, int), r"shape \(4,\)"),
        (np.ones((1, 2, 3), int), r"shape \(1, 2, 3\)"),
        (np.ones((1, 2)), "float64"),
        ((np.ones((1, 2), int), np.ones((1, 2), int)), "The batch is a tuple"),
        ({"ids": np.ones((1, 2), int)}, r"keys \['ids'\]. Expected 'token_ids'"),
        (tf.ragged.constant([[1], [1, 2]]), "The batch is a RaggedTensor"),
    ],
)
def test_batches_that_are_none_are_refused(batch, message):
    with pytest.raises(ValueError, match=message):
        TokenMasking(VOCABULARY, MASK)(0, batch)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"vocabulary_size": 1}, "vocabulary_size=1 was"),
        ({"mask_id": 0}, "mask_id=0 was passed. Expected an integer from 1 to 39"),
        ({"mask_id": 40}, "mask_id=40 was"),
        ({"rate": 0}, "rate=0 was passed"),
        ({"rate": 15}, "rate=15 was passed"),
        ({"rate": "0.1"}, "rate='0.1' was passed"),
        ({"rate": float("nan")}, "rate=nan was passed"),
        ({"seed": -1}, "seed=-1 was passed"),
        ({"special_ids": (1, 40)}, r"special_ids\[1\]=40 was passed"),
        ({"special_ids": range(1, 39)}, "All of the vocabulary_size=40 ids"),
    ],
)
def test_arguments_that_are_none_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        TokenMasking(**{"vocabulary_size": VOCABULARY, "mask_id": MASK, **arguments})
