"""Packed sequences: each segment gets what it alone would get."""

import functools

import numpy as np
import pytest
from attention_inputs import T, draw, draw_map, draw_mask, split_trainable
from gradients import on_arrays, to_numpy, value_and_gradients
from tolerances import assert_close

from keras_performer import ops
from keras_performer.ops.packed import packed_attention
from keras_performer.ops.reference import causal_mask

FORMS = {
    "bidirectional": on_arrays(functools.partial(packed_attention, causal=False)),
    "causal": on_arrays(functools.partial(packed_attention, causal=True)),
}
kernel_attention = on_arrays(ops.kernel_attention)
IDS = np.array(
    [
        [5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5],
        [3, 1, 1, 1, 1, 1, 3, 3, 3, 4, 4, 4, 9],  # 3 twice: two segments
    ]
)
CHUNKS = [(1, 1), (2, 4), (3, 6), (5, 10), (64, 512)]
SMALL = {"chunk_size": 2, "outer_chunk_size": 4}


def segment_mask(ids):
    """(B, 1, T, T), True where two positions are of one segment."""
    changes = np.pad(ids[:, 1:] != ids[:, :-1], [(0, 0), (1, 0)])
    numbers = np.cumsum(changes, axis=1)
    return (numbers[:, :, None] == numbers[:, None, :])[:, None]


@pytest.mark.backends
@pytest.mark.cases("bidirectional-relu-(3, 6)", "causal-learned-(2, 4)")
@pytest.mark.parametrize("chunks", CHUNKS, ids=str)
@pytest.mark.parametrize("name", ["learned", "relu"])
@pytest.mark.parametrize("form", FORMS)
def test_value_and_gradients(form, name, chunks):
    inputs, key_mask = draw(), draw_mask(T)
    feature_map, parameters = draw_map(name)
    trained, fixed = split_trainable(feature_map, parameters)
    mask = segment_mask(IDS) & key_mask[:, None, None]
    if form == "causal":
        mask = mask & to_numpy(causal_mask(T))

    def fast(query, key, value, *tensors):
        values = fixed | dict(zip(trained, tensors, strict=True))
        sizes = dict(zip(SMALL, chunks, strict=True))
        return FORMS[form](
            query, key, value, feature_map, values, IDS, key_mask, **sizes
        )

    def slow(query, key, value, *tensors):
        values = fixed | dict(zip(trained, tensors, strict=True))
        return kernel_attention(query, key, value, feature_map, values, mask)

    arrays = [*inputs, *trained.values()]
    upstream = np.random.default_rng(1).standard_normal(inputs[2].shape)
    actual = value_and_gradients(fast, arrays, upstream)
    expected = value_and_gradients(slow, arrays, upstream)
    assert_close(actual[0], expected[0], "float64")
    for a, b in zip(actual[1], expected[1], strict=True):
        assert_close(a, b, "float64")


@pytest.mark.parametrize("form", FORMS)
def test_nothing_passes_between_segments(form):
    arguments = draw_map("softmax", "float32")
    inputs = draw("float32")
    before = to_numpy(FORMS[form](*inputs, *arguments, IDS, **SMALL))
    changed = [x.copy() for x in inputs]
    for x in changed:
        x[1, 1:6] *= 1e3
    after = to_numpy(FORMS[form](*changed, *arguments, IDS, **SMALL))
    others = [0, *range(6, T)]
    assert np.array_equal(before[1, others], after[1, others])
    assert not np.array_equal(before[1, 1:6], after[1, 1:6])


@pytest.mark.parametrize("form", FORMS)
def test_ids_of_another_rank_are_refused(form):
    with pytest.raises(ValueError, match="segment_ids"):
        FORMS[form](*draw(), *draw_map("relu"), IDS[0])
