"""The quadratic reference itself, against loops in NumPy and against Keras."""

import math

import keras
import numpy as np
import pytest
from attention_inputs import (
    DV,
    B,
    H,
    S,
    T,
    draw,
    draw_map,
    draw_mask,
    exact_attention,
    kernel_attention,
    kernel_attention_scores,
)
from gradients import on_arrays, to_numpy
from tolerances import EXACT, assert_close, relative_rmse

from keras_performer.ops.reference import causal_mask


def loop_attention(kernel, value, visible):
    """Attention by definition: for each query a weighted mean of what it sees."""
    output = np.zeros((B, kernel.shape[2], H, DV))
    for b, h, t in np.ndindex(B, H, kernel.shape[2]):
        seen = [s for s in range(kernel.shape[3]) if visible[b, t, s]]
        total = sum(kernel[b, h, t, s] for s in seen)
        for s in seen:
            output[b, t, h] += kernel[b, h, t, s] / total * value[b, s, h]
    return output


def loop_kernel(function, query, key):
    shape = (B, H, query.shape[1], key.shape[1])
    kernel = np.zeros(shape)
    for b, h, t, s in np.ndindex(*shape):
        kernel[b, h, t, s] = function(query[b, t, h], key[b, s, h])
    return kernel


def positive_kernel(projection):
    """The FAVOR+ estimate of `exp(q·k / √D)`, a sum over the rows of a projection."""

    def kernel(q, k):
        x, y = q / len(q) ** 0.25, k / len(k) ** 0.25
        norms = (x @ x + y @ y) / 2
        return sum(math.exp(row @ (x + y) - norms) for row in projection) / len(
            projection
        )

    return kernel


def relu_kernel(q, k):
    return (np.maximum(q, 0) + 1e-3) @ (np.maximum(k, 0) + 1e-3)


def visible(name, target, source):
    if name == "all":
        return np.ones((B, target, source), "bool")
    if name == "causal":
        return np.tril(np.ones((B, target, source), "bool"))
    return np.repeat(draw_mask(source)[:, None], target, axis=1)


@pytest.mark.parametrize("seen", ["all", "causal", "some"])
@pytest.mark.parametrize("name", ["softmax", "relu"])
def test_kernel_attention_is_the_weighted_mean(name, seen):
    source = T if seen == "causal" else S
    query, key, value = draw(target=T, source=source)
    feature_map, parameters = draw_map(name)
    mask = visible(seen, T, source)
    function = positive_kernel(parameters["projection"]) if parameters else relu_kernel
    expected = loop_attention(loop_kernel(function, query, key), value, mask)
    actual = kernel_attention(
        query,
        key,
        value,
        feature_map,
        parameters,
        None if seen == "all" else mask[:, None],
    )
    assert_close(to_numpy(actual), expected, EXACT)


def test_scores_are_the_matrix_that_weighs_the_values():
    query, key, value = draw(source=S)
    feature_map, parameters = draw_map("softmax")
    mask = draw_mask()[:, None, None]
    arguments = (feature_map, parameters, mask)
    scores = to_numpy(kernel_attention_scores(query, key, *arguments))
    assert scores.shape == (B, H, T, S)
    assert_close(scores.sum(-1), np.ones((B, H, T)), EXACT)
    assert np.all(scores[~np.broadcast_to(mask, scores.shape)] == 0)
    output = kernel_attention(query, key, value, *arguments)
    expected = np.einsum("bhts,bshd->bthd", scores, value)
    assert_close(to_numpy(output), expected, EXACT)


@pytest.mark.parametrize("attend", ["exact", "kernel"])
def test_a_row_that_sees_no_key_is_zeros(attend):
    query, key, value = draw(source=S)
    mask = draw_mask()[:, None, None]
    mask[1] = False
    if attend == "exact":
        output = exact_attention(query, key, value, mask)
    else:
        output = kernel_attention(query, key, value, *draw_map("softmax"), mask)
    output = to_numpy(output)
    assert np.all(output[1] == 0)
    assert np.all(np.any(output[0] != 0, axis=-1))


@pytest.mark.parametrize("seen", ["all", "causal", "some"])
def test_exact_attention_is_that_of_keras(seen):
    source = T if seen == "causal" else S
    query, key, value = draw(source=source)
    mask = None if seen == "all" else visible(seen, T, source)[:, None]
    # Keras wants one head size for all.
    value = value[..., : query.shape[-1]]
    expected = on_arrays(keras.ops.dot_product_attention)(
        query,
        key,
        value,
        mask=None if mask is None else np.broadcast_to(mask, (B, H, T, source)),
        flash_attention=False,
    )
    # Its softmax runs in float32 at the least, not always in float64.
    assert_close(to_numpy(exact_attention(query, key, value, mask)), to_numpy(expected))


def test_exact_attention_in_float64():
    query, key, value = draw(source=S)
    mask = visible("some", T, S)
    kernel = loop_kernel(lambda q, k: math.exp(q @ k / len(q) ** 0.5), query, key)
    actual = exact_attention(query, key, value, mask[:, None])
    assert_close(to_numpy(actual), loop_attention(kernel, value, mask), EXACT)


def test_many_features_come_close_to_exact_attention():
    query, key, value = draw(source=S, scale=0.5)
    exact = to_numpy(exact_attention(query, key, value))

    def error(number):
        estimates = [
            kernel_attention(
                query, key, value, *draw_map("softmax", num_features=number, seed=seed)
            )
            for seed in range(10)
        ]
        return np.mean([relative_rmse(to_numpy(x), exact) for x in estimates])

    # One hundred times the features: a tenth of the error.
    assert error(5000) < error(50) / 5
    assert error(5000) < 0.05


def test_causal_mask():
    assert to_numpy(causal_mask(3)).tolist() == [
        [True, False, False],
        [True, True, False],
        [True, True, True],
    ]
