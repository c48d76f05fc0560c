"""The one file of tolerances: how far from the truth a result may be."""

import keras
import numpy as np

# Root mean square of the error over the root mean square of the truth.
RELATIVE_RMSE = {"float64": 1e-12, "float32": 1e-5, "bfloat16": 5e-3}

# The dtype of the truth, and of what has sines in it: Keras's are float32 on JAX.
EXACT = "float64"
EXACT_SINE = "float32" if keras.backend.backend() == "jax" else "float64"

# How many standard errors the mean of random draws may lie from its expectation.
STANDARD_ERRORS = 4


def relative_rmse(actual, expected):
    """Root mean square error, relative to the root mean square of what is expected."""
    actual, expected = (np.asarray(x, dtype="float64") for x in (actual, expected))
    assert actual.shape == expected.shape, (actual.shape, expected.shape)
    if not expected.size:
        return 0.0
    error, size = (
        np.sqrt(np.mean(np.square(x))) for x in (actual - expected, expected)
    )
    return error / size if size else error


def assert_close(actual, expected, dtype="float32"):
    """Asserts that a result of a dtype's arithmetic is as exact as it should be."""
    error = relative_rmse(actual, expected)
    assert error <= RELATIVE_RMSE[dtype], f"relative RMSE {error:.3g} in {dtype}"


def assert_mean(samples, expected):
    """Asserts the expectation of independent samples, drawn along the first axis."""
    samples = np.asarray(samples, dtype="float64")
    error = np.mean(samples, axis=0) - expected
    standard_error = np.std(samples, axis=0, ddof=1) / np.sqrt(len(samples))
    worst = np.max(np.abs(error) / standard_error)
    assert worst <= STANDARD_ERRORS, f"{worst:.1f} standard errors from the expectation"
