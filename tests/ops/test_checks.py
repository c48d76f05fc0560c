"""What attention is given is checked, with errors that say what was expected."""

import functools

import numpy as np
import pytest
from attention_inputs import (
    DV,
    FORMS,
    B,
    D,
    H,
    T,
    bidirectional_attention,
    causal_attention,
    draw,
    draw_map,
)
from gradients import on_arrays

from keras_performer.ops.windowed import windowed_attention

LOG_WEIGHT = np.array([0.5, -1.0, 2.0])


@pytest.fixture(params=FORMS)
def form(request):
    return request.param


def change(shapes, name, axis, size):
    return {**shapes, name: (*shapes[name][:axis], size, *shapes[name][axis + 1 :])}


SHAPES = {"query": (B, T, H, D), "key": (B, T, H, D), "value": (B, T, H, DV)}


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (SHAPES | {"query": (B, T, D)}, "`query` must have rank 4"),
        (SHAPES | {"key": (B, T, D)}, "`key` must have rank 4"),
        (SHAPES | {"value": (B, T, D)}, "`value` must have rank 4"),
        (change(SHAPES, "key", 3, D + 1), "head_dim of `query` and `key`"),
        (change(SHAPES, "key", 2, H + 1), "heads of `key` and `value`"),
        (change(SHAPES, "value", 2, H + 1), "heads of `key` and `value`"),
        (change(SHAPES, "query", 2, H + 1), "heads of `query` must be a multiple"),
        (change(SHAPES, "value", 1, T + 1), "lengths of `key` and `value`"),
    ],
)
def test_shapes_are_checked(form, shapes, message):
    arrays = [np.zeros(shape, "float32") for shape in shapes.values()]
    with pytest.raises(ValueError, match=message):
        FORMS[form](*arrays, *draw_map("relu"))


def test_the_mask_shape_is_checked(form):
    mask = np.ones((B, T, T), "bool")
    with pytest.raises(ValueError, match=r"`key_mask` must have rank 2.*\(2, 13, 13\)"):
        FORMS[form](*draw(), *draw_map("relu"), key_mask=mask)


@pytest.mark.parametrize("size", [0, -1, 2.0])
def test_the_chunk_size_is_checked(size):
    with pytest.raises(ValueError, match="`chunk_size` must be a positive integer"):
        bidirectional_attention(*draw(), *draw_map("relu"), chunk_size=size)


@pytest.mark.parametrize(
    ("sizes", "name"),
    [
        ({"chunk_size": 0}, "`chunk_size` must be a positive integer"),
        ({"chunk_size": 2.0}, "`chunk_size` must be a positive integer"),
        ({"outer_chunk_size": -64}, "`outer_chunk_size` must be a positive integer"),
        ({"chunk_size": 3, "outer_chunk_size": 8}, "multiple of `chunk_size`"),
    ],
)
def test_chunk_sizes_are_checked(sizes, name):
    with pytest.raises(ValueError, match=name):
        causal_attention(*draw(), *draw_map("softmax"), **sizes)


def test_windows_are_checked():
    inputs, arguments = draw(), draw_map("relu")
    attend = on_arrays(functools.partial(windowed_attention, causal=True))
    for window_size in (0, -3, 2.5):
        with pytest.raises(ValueError, match="`window_size` must be a positive"):
            attend(*inputs, *arguments, window_size)
    with pytest.raises(ValueError, match="`window_log_weight` must have"):
        attend(*inputs, *arguments, 3, LOG_WEIGHT[:2])
    with pytest.raises(ValueError, match="a key for each query"):
        attend(*draw(source=T + 1), *arguments, 3)
    with pytest.raises(ValueError, match="`chunk_size` must be a positive"):
        attend(*inputs, *arguments, 3, chunk_size=0)
