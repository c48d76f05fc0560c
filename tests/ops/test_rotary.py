"""Rotary positions: the rotation, its invariances, and its digits far out."""

import keras
import numpy as np
import pytest
from gradients import to_numpy, to_tensor
from tolerances import EXACT, assert_close

from keras_performer.ops import rotary


def draw(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(EXACT)


def expected_rotation(x, positions, base):
    """Complex multiplication in float64."""
    half = x.shape[-1] // 2
    frequencies = base ** (-2 * np.arange(half) / x.shape[-1])
    angles = np.asarray(positions, "float64")[..., None, None] * frequencies
    z = (x[..., :half] + 1j * x[..., half:]) * np.exp(1j * angles)
    return np.concatenate([z.real, z.imag], axis=-1)


@pytest.mark.parametrize("base", [10_000.0, 100.0, 500_000.0])
@pytest.mark.parametrize("positions", [np.arange(7), np.arange(14).reshape(2, 7) * 3])
def test_the_rotation(positions, base):
    x = draw(2, 7, 3, 10)
    actual = to_numpy(rotary(to_tensor(x), positions, base))
    assert_close(actual, expected_rotation(x, positions, base), "float32")


def test_products_depend_on_distances_alone():
    q, k = draw(1, 1, 1, 8), draw(1, 1, 1, 8, seed=1)

    def product(i, j):
        a, b = rotary(to_tensor(q), [i]), rotary(to_tensor(k), [j])
        return np.sum(to_numpy(a) * to_numpy(b))

    assert product(5, 2) == pytest.approx(product(905, 902), rel=1e-4)
    assert product(5, 2) != pytest.approx(product(5, 3), rel=1e-2)


def test_norms_stay():
    x = draw(2, 50, 3, 8)
    turned = to_numpy(rotary(to_tensor(x), np.arange(50)))
    assert_close(np.linalg.norm(turned, axis=-1), np.linalg.norm(x, axis=-1))
    assert np.array_equal(turned[:, 0], x[:, 0])


@pytest.mark.backends
@pytest.mark.cases("65535", "16000001")
@pytest.mark.parametrize("position", [1_023, 1_024, 65_535, 1_000_003, 16_000_001])
def test_digits_far_out(position):
    x = draw(1, 1, 2, 64)
    actual = to_numpy(rotary(to_tensor(x), [position]))
    error = np.max(np.abs(actual - expected_rotation(x, [position], 10_000.0)))
    assert error < 5e-3


@pytest.mark.backends
def test_half_precision_is_rotated_in_float32():
    x = draw(1, 5000, 1, 8).astype("float16")
    actual = to_numpy(rotary(to_tensor(x), np.arange(5000)))
    expected = expected_rotation(x.astype("float64"), np.arange(5000), 10_000.0)
    assert np.max(np.abs(actual - expected)) < 4e-3
    assert "float16" in str(rotary(to_tensor(x), np.arange(5000)).dtype)


@pytest.mark.backends
@pytest.mark.parametrize(
    ("dtype", "rounding"), [("float16", 2.0**-11), ("bfloat16", 2.0**-8)]
)
def test_half_precision_two_million_positions_out(dtype, rounding):
    positions = np.arange(2_000_000, 2_000_008)
    x = keras.ops.cast(to_tensor(draw(1, 8, 2, 64).astype("float32")), dtype)
    actual = rotary(x, positions)
    assert keras.backend.standardize_dtype(actual.dtype) == dtype
    x, actual = (to_numpy(keras.ops.cast(y, "float32")) for y in (x, actual))
    expected = expected_rotation(x.astype("float64"), positions, 10_000.0)
    # The digits of the angles, of numbers up to 4, and one rounding of the result.
    assert np.max(np.abs(actual - expected) - rounding * np.abs(expected)) < 2e-3


def test_odd_heads_are_refused():
    with pytest.raises(ValueError, match=r"even head dimension.*\(2, 3, 1, 5\)"):
        rotary(np.zeros((2, 3, 1, 5), "float32"), np.arange(3))


@pytest.mark.parametrize("base", [1.0, 0, -3.0, float("nan")])
def test_a_base_is_above_one(base):
    with pytest.raises(ValueError, match="`base` must be above 1"):
        rotary(np.zeros((2, 3, 1, 4), "float32"), np.arange(3), base)
