"""An exact window beside linear attention: against the whole matrix, in float64."""

import functools

import keras
import numpy as np
import pytest
from attention_inputs import B, H, T, draw, draw_map, draw_mask, split_trainable
from compilers import wrappers
from gradients import on_arrays, to_numpy, value_and_gradients
from tolerances import assert_close

from keras_performer import ops
from keras_performer.ops.reference import causal_mask
from keras_performer.ops.windowed import windowed_attention

FORMS = {
    "bidirectional": on_arrays(functools.partial(windowed_attention, causal=False)),
    "causal": on_arrays(functools.partial(windowed_attention, causal=True)),
}
scores_of = on_arrays(ops.kernel_attention_scores)
CHUNKS = {"chunk_size": 2, "outer_chunk_size": 4}
IDS = np.array([[5] * 13, [3, 1, 1, 1, 1, 1, 3, 3, 3, 4, 4, 4, 9]])
LOG_WEIGHT = np.array([0.5, -1.0, 2.0])


def visible(form, key_mask, ids):
    """(B, 1, T, T), True where a query sees a key."""
    mask = np.ones((B, 1, T, T), dtype="bool")
    if key_mask is not None:
        mask = mask & key_mask[:, None, None]
    if ids is not None:
        changes = np.pad(ids[:, 1:] != ids[:, :-1], [(0, 0), (1, 0)])
        numbers = np.cumsum(changes, axis=1)
        mask = mask & (numbers[:, :, None] == numbers[:, None, :])[:, None]
    return mask & to_numpy(causal_mask(T)) if form == "causal" else mask


@pytest.mark.cases("bidirectional-learned-3-all", "causal-softmax-5-masked and packed")
@pytest.mark.parametrize(
    ("key_mask", "ids"),
    [(None, None), (draw_mask(T), IDS)],
    ids=["all", "masked and packed"],
)
@pytest.mark.parametrize("window_size", [1, 3, 5])
@pytest.mark.parametrize("name", ["learned", "softmax"])
@pytest.mark.parametrize("form", FORMS)
def test_value_and_gradients(form, name, window_size, key_mask, ids):
    query, key, value = draw()
    key, value = key[:, :, :1], value[:, :, :1]  # shared by all heads of queries
    feature_map, parameters = draw_map(name, heads=1)
    trained, fixed = split_trainable(feature_map, parameters)
    mask = visible(form, key_mask, ids)

    def fast(query, key, value, log_weight, *tensors):
        values = fixed | dict(zip(trained, tensors, strict=True))
        return FORMS[form](
            query,
            key,
            value,
            feature_map,
            values,
            window_size,
            log_weight,
            key_mask=key_mask,
            segment_ids=ids,
            **CHUNKS,
        )

    def slow(query, key, value, log_weight, *tensors):
        values = fixed | dict(zip(trained, tensors, strict=True))
        scores = scores_of(
            query,
            key,
            feature_map,
            values,
            mask,
            window_size=window_size,
            window_log_weight=log_weight,
        )
        return swapped(scores @ swapped(value))

    arrays = [query, key, value, LOG_WEIGHT, *trained.values()]
    upstream = np.random.default_rng(1).standard_normal((B, T, H, value.shape[-1]))
    actual = value_and_gradients(fast, arrays, upstream)
    expected = value_and_gradients(slow, arrays, upstream)
    assert_close(actual[0], expected[0], "float64")
    for a, b in zip(actual[1], expected[1], strict=True):
        assert_close(a, b, "float64")


def swapped(x):
    return keras.ops.swapaxes(x, 1, 2)


@pytest.mark.parametrize("form", FORMS)
def test_a_window_over_all_is_exact_attention(form):
    inputs, mask = draw(), visible(form, draw_mask(T), None)
    actual = FORMS[form](*inputs, *draw_map("relu"), T, key_mask=draw_mask(T))
    expected = on_arrays(ops.exact_attention)(*inputs, mask)
    assert_close(to_numpy(actual), to_numpy(expected), "float64")


def test_the_past_is_bit_equal():
    inputs, arguments = draw("float32"), draw_map("softmax", "float32")
    before = to_numpy(FORMS["causal"](*inputs, *arguments, 3, **CHUNKS))
    for factor in (1.0, 1000.0):
        changed = [x.copy() for x in inputs]
        for x in changed:
            x[:, 6:] *= -factor
        after = to_numpy(FORMS["causal"](*changed, *arguments, 3, **CHUNKS))
        assert np.array_equal(before[:, :6], after[:, :6])
        assert not np.array_equal(before[:, 6:], after[:, 6:])


@pytest.mark.slow
def test_compiled_as_eager():
    inputs, arguments = draw("float32"), draw_map("softmax", "float32")

    def attend(*inputs):
        return FORMS["causal"](*inputs, *arguments, 3, **CHUNKS)

    eager = to_numpy(attend(*inputs))
    for compiled in wrappers():
        assert_close(to_numpy(compiled(attend)(*inputs)), eager)
