"""Packed sequences and the ids that follow."""

import numpy as np
import pytest

from keras_performer.text import PackedNextTokens, PackedSequences


@pytest.mark.parametrize("context_length", [1, 2, 9, 30])
def test_each_id_but_the_last_of_a_segment_has_the_next_as_its_target(context_length):
    generator = np.random.default_rng(0)
    sequences = [generator.integers(1, 9, n) for n in generator.integers(1, 30, 50)]
    rows = PackedNextTokens(sequences, context_length)
    packed = PackedSequences(sequences, context_length)
    assert len(rows) == len(packed) > 1
    for row, (inputs, targets, sample_weight) in zip(packed, rows, strict=True):
        np.testing.assert_array_equal(inputs["token_ids"], row["token_ids"])
        np.testing.assert_array_equal(inputs["segment_ids"], row["segment_ids"])
        assert targets.dtype == np.int32 and sample_weight.dtype == np.float32
        token_ids, segment_ids = (list(row[key]) + [0] for key in inputs)
        for t in range(context_length):
            inside = segment_ids[t] > 0 and segment_ids[t + 1] == segment_ids[t]
            assert sample_weight[t] == float(inside)
            assert targets[t] == (token_ids[t + 1] if inside else 0)


def test_equal_ids_on_both_sides_of_a_boundary_are_no_target():
    [(_, targets, sample_weight)] = PackedNextTokens([[5, 5], [5, 5, 5]], 5)
    assert targets.tolist() == [5, 0, 5, 5, 0]
    assert sample_weight.tolist() == [1, 0, 1, 1, 0]
