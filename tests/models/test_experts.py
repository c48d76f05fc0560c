"""Layers that join experts: products of probabilities, and sums of numbers."""

import keras
import numpy as np
import pytest
from tolerances import assert_close

from keras_performer.models.experts import (
    ProductOfExperts,
    ProductOfLabelExperts,
    SumOfExperts,
)


def joined(layer, experts, powers):
    experts = [np.array(expert, "float32") for expert in experts]
    layer(experts)
    layer.powers.assign(powers)
    return keras.ops.convert_to_numpy(layer(experts))


def test_a_product_of_probabilities_to_a_power():
    p, q = np.array([[0.2, 0.8]]), np.array([[0.6, 0.4]])
    expected = p**2 * q**0.5
    found = joined(ProductOfExperts(), [p, q], [2.0, 0.5])
    assert_close(found, expected / expected.sum(-1, keepdims=True))


def test_of_two_classes_it_is_that_of_a_label():
    p, q = np.array([[0.2], [0.9]]), np.array([[0.6], [0.4]])
    of_label = joined(ProductOfLabelExperts(), [p, q], [2.0, 0.5])
    both = [np.concatenate([1 - x, x], axis=1) for x in (p, q)]
    assert_close(of_label, joined(ProductOfExperts(), both, [2.0, 0.5])[:, 1:])


def test_labels_that_are_certain_are_finite():
    certain = np.array([[1.0, 0.0]])
    found = joined(ProductOfLabelExperts(), [certain, 1 - certain], [1.0, 1.0])
    assert_close(found, [[0.5, 0.5]])


def test_a_sum_of_distances_from_the_center():
    layer = SumOfExperts()
    y, z = np.array([[3.0]]), np.array([[5.0]])
    assert_close(joined(layer, [y, z], [0.5, 0.5]), [[4.0]])
    layer.center.assign(1.0)
    assert_close(joined(layer, [y, z], [0.5, 0.25]), [[1 + 0.5 * 2 + 0.25 * 4]])


@pytest.mark.parametrize("kind", [ProductOfExperts, ProductOfLabelExperts])
def test_powers_are_not_trained(kind):
    layer = kind()
    layer([np.array([[0.5, 0.5]]), np.array([[0.5, 0.5]])])
    assert not layer.trainable_weights
