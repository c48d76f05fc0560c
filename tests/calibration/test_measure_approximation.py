"""The measured approximation against the definition, written out."""

import numpy as np
import pytest
from gradients import to_numpy
from small_model import B, D, H, T, batches, small_model
from tolerances import assert_close

from keras_performer import feature_maps
from keras_performer.calibration import measure_approximation, recorded
from keras_performer.ops import projections


def softmax_matrix(query, key, visible):
    logits = np.einsum("bthd,bshd->bhts", query, key) / np.sqrt(D)
    kernel = np.where(visible, np.exp(logits - logits.max(-1, keepdims=True)), 0)
    return kernel / np.maximum(kernel.sum(-1, keepdims=True), 1e-30)


def feature_matrix(query, key, visible, rows):
    scaled = [np.moveaxis(x, 2, 1) / D**0.25 for x in (query, key)]
    phi_q, phi_k = (
        np.exp(x @ rows.T - np.sum(x**2, -1, keepdims=True) / 2) for x in scaled
    )
    kernel = np.where(visible, phi_q @ np.swapaxes(phi_k, -1, -2), 0)
    return kernel / np.maximum(kernel.sum(-1, keepdims=True), 1e-30)


def relative(actual, expected):
    return np.sqrt(
        np.sum((actual - expected) ** 2, (0, 2, 3)) / np.sum(expected**2, (0, 2, 3))
    )


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("mask", [False, True])
def test_the_definition(causal, mask):
    model = small_model(causal=causal, mask=mask, num_features=16)
    [batch] = batches(1)
    visible = np.ones((B, 1, T, T), bool)
    if mask:
        batch[1, 5:] = 0
        visible[1, :, :, 5:] = visible[1, :, 5:] = False
    if causal:
        visible &= np.tril(np.ones((T, T), bool))
    [[first, _]] = recorded(model, [batch])
    query, key = to_numpy(first.query), to_numpy(first.key)
    exact = softmax_matrix(query, key, visible)

    result = measure_approximation(
        model, [batch], maps=("softmax",), num_features=(8, 32), draws=2, seed=5
    )
    heads = result.heads[:H]
    assert [(h.layer, h.head) for h in heads] == [(first.layer.path, i) for i in (0, 1)]
    own = to_numpy(first.layer.feature_parameters["projection"])
    expected = relative(feature_matrix(query, key, visible, own), exact)
    assert_close([h.error for h in heads], expected)
    even = visible / np.maximum(visible.sum(-1, keepdims=True), 1)
    expected = relative(np.broadcast_to(even, exact.shape), exact)
    assert_close([h.uniform for h in heads], expected)
    for size in (8, 32):
        drawn = [projections.orthogonal((5, i), size, D) for i in (0, 1)]
        expected = np.mean(
            [relative(feature_matrix(query, key, visible, r), exact) for r in drawn], 0
        )
        assert_close([h.errors["softmax"][size] for h in heads], expected)


def test_some_rows_stand_for_all():
    model, data = small_model(causal=True), batches(2, length=201)
    options = {"maps": (), "num_features": ()}
    some, every = (
        measure_approximation(model, data, rows=rows, **options) for rows in (51, 201)
    )
    for a, b in zip(some.heads, every.heads, strict=True):
        assert a.error != b.error
        assert a.error == pytest.approx(b.error, rel=0.3)


def test_more_features_err_less():
    data = batches(2, 50, scale=0.5)
    options = {"num_features": (16, 1024), "draws": 20}
    [head, *_] = measure_approximation(
        small_model(), data, maps=("softmax",), **options
    ).heads
    ratio = head.errors["softmax"][16] / head.errors["softmax"][1024]
    assert 4 < ratio < 16  # 8 by the law of 1/√M


def test_maps_without_a_projection_have_one_error():
    [head, *_] = measure_approximation(
        small_model(), batches(1), maps=("relu", "softmax"), num_features=(16,)
    ).heads
    assert list(head.errors["relu"]) == [None]
    assert list(head.errors["softmax"]) == [16]


def test_unknown_maps_are_refused():
    with pytest.raises(ValueError, match="Unknown feature map: 'exact'"):
        measure_approximation(small_model(), batches(1), maps=("exact",))


def test_every_map_can_be_measured():
    names = [n for n in feature_maps.registry._BY_NAME if n != "learned"]
    [head, *_] = measure_approximation(
        small_model(), batches(1), maps=names, num_features=(16,), draws=1
    ).heads
    assert list(head.errors) == names
    assert all(np.isfinite(e) for sizes in head.errors.values() for e in sizes.values())
