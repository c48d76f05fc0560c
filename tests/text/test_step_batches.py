"""Batches of random-access sources: in any order, from any step."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_performer.text import (
    PackedNextTokens,
    PackedSequences,
    TokenMasking,
    TokenWindows,
    ordered_batches,
    shuffled_batches,
)


class Recorded:
    """The numbers below `size`, and which of them were read."""

    def __init__(self, size):
        self.size = size
        self.read = []

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        assert type(index) is int and 0 <= index < self.size
        self.read.append(index)
        return np.array(index)


def sources():
    generator = np.random.default_rng(0)
    sequences = [generator.integers(1, 30, n) for n in generator.integers(1, 40, 60)]
    return {
        "windows": TokenWindows(generator.integers(1, 30, 500), 16),
        "packed": PackedSequences(sequences, 32),
        "packed next tokens": PackedNextTokens(sequences, 32),
    }


def as_lists(batches):
    return [
        [array.tolist() for array in tf.nest.flatten(batch)]
        for batch in batches.as_numpy_iterator()
    ]


@pytest.mark.parametrize("name", sources())
def test_a_training_that_goes_on_sees_what_one_without_interruption_sees(name):
    source = sources()[name]
    uninterrupted = as_lists(shuffled_batches(source, 4, seed=3).take(30))
    assert len({str(batch) for batch in uninterrupted}) == 30
    tf.random.set_seed(1234)
    np.random.seed(5)
    for step in (0, 1, 7, 29):  # 7 and 29 lie in later passes
        resumed = shuffled_batches(source, 4, seed=3, start_step=step)
        assert as_lists(resumed.take(30 - step)) == uninterrupted[step:]


@pytest.mark.parametrize(("size", "batch_size"), [(10, 2), (10, 3), (3, 8), (1, 2)])
def test_each_pass_sees_all_examples_once(size, batch_size):
    batches = shuffled_batches(Recorded(size), batch_size, seed=0)
    steps = 4 * size  # whole passes
    seen = np.concatenate(list(batches.take(steps).as_numpy_iterator()))
    passes = seen.reshape(-1, size)
    assert (np.sort(passes) == np.arange(size)).all()
    if size == 10:
        assert len({tuple(order) for order in passes.tolist()}) == len(passes)


def test_the_order_depends_on_the_seed():
    orders = {
        tuple(
            shuffled_batches(Recorded(50), 50, seed).take(1).as_numpy_iterator().next()
        )
        for seed in (0, 1, 2, 2**62)
    }
    assert len(orders) == 4


def test_a_late_start_reads_nothing_of_the_steps_before():
    source = Recorded(1000)
    [batch] = shuffled_batches(source, 4, seed=0, start_step=10**12).take(1)
    # The first example tells the shapes; some batches are prefetched.
    assert source.read[0] == 0
    assert source.read[1:5] == batch.numpy().tolist()
    assert len(source.read) < 200


def test_there_is_no_end_and_fit_is_told_so():
    batches = shuffled_batches(Recorded(3), 2, seed=0)
    assert batches.cardinality() == tf.data.INFINITE_CARDINALITY


@pytest.mark.parametrize("name", sources())
def test_ordered_batches_are_all_examples_once(name):
    source = sources()[name]
    batches = list(ordered_batches(source, 4).as_numpy_iterator())
    assert ordered_batches(source, 4).cardinality() == len(batches)
    parts = [tf.nest.flatten(batch) for batch in batches]
    for number, column in enumerate(zip(*parts, strict=True)):
        joined = np.concatenate(column)
        expected = np.stack([tf.nest.flatten(example)[number] for example in source])
        assert joined.dtype == expected.dtype
        np.testing.assert_array_equal(joined, expected)


def test_shapes_are_known_before_a_batch_is_read():
    inputs, targets, weights = shuffled_batches(
        sources()["packed next tokens"], 4, seed=0
    ).element_spec
    assert inputs == {
        "token_ids": tf.TensorSpec((4, 32), tf.int32),
        "segment_ids": tf.TensorSpec((4, 32), tf.int32),
    }
    assert targets == tf.TensorSpec((4, 32), tf.int32)
    assert weights == tf.TensorSpec((4, 32), tf.float32)
    assert ordered_batches(Recorded(9), 3).element_spec.shape == (3,)
    assert ordered_batches(Recorded(9), 4).element_spec.shape == (None,)


class Recording(keras.Model):
    """Trains nothing; keeps what it is given."""

    def __init__(self):
        super().__init__()
        self.seen = []
        self.built = True
        self.compile()

    def train_step(self, data):
        def record(*batch):
            self.seen.append([array.tolist() for array in batch])

        tf.numpy_function(record, tf.nest.flatten(data), [])
        return {"loss": tf.constant(0.0)}


def test_masked_training_goes_on_in_fit():
    rows = sources()["packed"]

    def fit(start_step, epochs, initial_epoch=0):
        model = Recording()
        batches = shuffled_batches(rows, 4, seed=1, start_step=start_step)
        masking = TokenMasking(30, mask_id=29, seed=1)
        model.fit(
            batches.enumerate(start_step).map(masking),
            epochs=epochs,
            initial_epoch=initial_epoch,
            steps_per_epoch=5,
            shuffle=False,
            verbose=0,
        )
        return model.seen

    uninterrupted = fit(0, epochs=4)
    assert len({str(batch) for batch in uninterrupted}) == 20
    assert fit(10, epochs=4, initial_epoch=2) == uninterrupted[10:]


@pytest.mark.parametrize("value", [0, -1, 2.0, "8", True])
def test_batch_sizes_that_are_none_are_refused(value):
    with pytest.raises(ValueError, match=f"batch_size={value!r} was passed"):
        shuffled_batches(Recorded(3), value, seed=0)
    with pytest.raises(ValueError, match=f"batch_size={value!r} was passed"):
        ordered_batches(Recorded(3), value)


def test_seeds_steps_and_sources_that_are_none_are_refused():
    with pytest.raises(ValueError, match="seed=None was passed"):
        shuffled_batches(Recorded(3), 2, seed=None)
    with pytest.raises(ValueError, match="start_step=-1 was passed"):
        shuffled_batches(Recorded(3), 2, seed=0, start_step=-1)
    for make in (ordered_batches, lambda *a: shuffled_batches(*a, seed=0)):
        with pytest.raises(ValueError, match="source is empty"):
            make(Recorded(0), 2)
