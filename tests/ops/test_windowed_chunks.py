"""Local and global sums in one pass: their chunks, and the scale that both have."""

import numpy as np
import pytest
from attention_inputs import draw, draw_map
from gradients import on_arrays, to_numpy, to_tensor
from tolerances import assert_close

from keras_performer.ops.windowed import windowed_attention
from keras_performer.ops.windowed_chunks import ScaledSums, chunk_sizes

CHUNKS = {"chunk_size": 2, "outer_chunk_size": 4}


@pytest.mark.parametrize(
    ("window_size", "expected"), [(1, (4, 8)), (4, (4, 8)), (5, (5, 5)), (9, (9, 9))]
)
def test_a_window_spans_two_inner_chunks(window_size, expected):
    assert tuple(chunk_sizes(window_size, 4, 8).values()) == expected


def test_sums_of_two_scales():
    generator = np.random.default_rng(0)
    sums = generator.standard_normal((2, 3, 5))
    scales = np.array([[0.0, -2.0, 500.0], [1.0, -900.0, 499.0]])
    first, second = (
        ScaledSums(to_tensor(x), to_tensor(s))
        for x, s in zip(sums, scales, strict=True)
    )
    total = first.plus(second)
    assert_close(to_numpy(total.scale), np.maximum(*scales), "float64")
    expected = np.sum(sums * np.exp(scales - np.maximum(*scales))[..., None], axis=0)
    assert_close(to_numpy(total.sums), expected, "float64")


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("factor", [30.0, 1000.0])
def test_large_logits_stay_finite(causal, factor):
    query, key, value = draw("float32")
    arguments = draw_map("softmax", "float32")
    output = to_numpy(
        on_arrays(windowed_attention)(
            query * factor, key * factor, value, *arguments, 3, causal=causal, **CHUNKS
        )
    )
    assert np.all(np.isfinite(output))
    assert np.max(np.abs(output)) <= np.max(np.abs(value)) * 1.001
