"""Sums keep their digits: in half precision, and over a long stream."""

import numpy as np
import pytest
from attention_inputs import DV, FORMS, B, H, M, draw, draw_map, kernel_attention
from gradients import to_numpy
from keras import ops
from tolerances import EXACT, assert_close

from keras_performer.ops import initial_state, step
from keras_performer.ops.accumulation import accumulation_dtype, kahan_add


@pytest.mark.cases("float16-float32", "float64-float64")
@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        ("float16", "float32"),
        ("bfloat16", "float32"),
        ("float32", "float32"),
        ("float64", "float64"),
    ],
)
def test_sums_are_never_narrower_than_float32(dtype, expected):
    assert accumulation_dtype(ops.zeros((1,), dtype=dtype)) == expected


def test_kahan_add_keeps_what_rounding_loses():
    """A float32 near one stops to grow by terms below 6e-8."""
    tiny = ops.convert_to_tensor(np.full((3,), 1e-8, "float32"))
    naive = sums = ops.ones((3,), "float32")
    compensation = ops.zeros((3,), "float32")
    for _ in range(100):
        naive = naive + tiny
        sums, compensation = kahan_add(sums, compensation, tiny)
    assert np.all(to_numpy(naive) == 1)
    actual = to_numpy(sums).astype("float64") - to_numpy(compensation)
    assert np.max(np.abs(actual - (1 + 100 * 1e-8))) < 1e-9


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", ["softmax", "relu"])
@pytest.mark.parametrize("form", FORMS)
def test_half_precision_accumulates_in_float32(form, dtype, name):
    # Sums over 1,500 positions: in a half type they would stop to grow on the way.
    length = 1500
    feature_map, parameters = draw_map(name, "float32")
    halves = [ops.cast(x, dtype) for x in draw("float32", length)]
    output = FORMS[form](*halves, feature_map, parameters)
    assert output.dtype == halves[2].dtype
    mask = np.tril(np.ones((length, length), "bool")) if form == "causal" else None
    expected = kernel_attention(
        *(to_numpy(ops.cast(x, EXACT)) for x in halves),
        feature_map,
        {key: x.astype(EXACT) for key, x in parameters.items()},
        mask,
    )
    assert_close(to_numpy(output), to_numpy(expected), "bfloat16")


def test_a_long_stream_does_not_drift():
    """Each term is a hundred-thousandth of the sums, and would lose its digits."""
    feature_map, parameters = draw_map("softmax", "float32")
    inputs = [x[:, :1] for x in draw("float32")]
    state = initial_state(B, H, M, DV)
    once = step(state, *inputs, feature_map, parameters)[1]
    state = once._replace(sums=once.sums * 100_000, compensation=once.compensation)
    for _ in range(100):
        _, state = step(state, *inputs, feature_map, parameters)
    expected = to_numpy(once.sums).astype("float64") * 100_100
    actual = to_numpy(state.sums).astype("float64") - to_numpy(state.compensation)
    assert np.max(np.abs(actual / expected - 1)) < np.finfo("float32").eps
