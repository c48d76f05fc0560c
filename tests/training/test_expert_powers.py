"""Powers of experts: against a grid, and an expert that has to earn its place."""

import numpy as np
import pytest

from keras_performer.training.expert_powers import fit_expert_powers, fit_experts


def made(sizes, windows=400, documents=80, classes=3, seed=0):
    """Experts that know the label by so many nats, with noise of their own."""
    random = np.random.default_rng(seed)
    label_ids = random.integers(classes, size=windows)
    owners = np.arange(windows) * documents // windows
    logits = [
        random.normal(size=(windows, classes)) + size * np.eye(classes)[label_ids]
        for size in sizes
    ]
    experts = np.exp(logits)
    return experts / experts.sum(-1, keepdims=True), label_ids, owners


def loss(powers, experts, label_ids):
    joint = np.prod([p**a for a, p in zip(powers, experts, strict=True)], axis=0)
    joint /= joint.sum(-1, keepdims=True)
    return -np.log(joint[np.arange(len(label_ids)), label_ids]).mean()


def test_no_other_powers_have_a_lower_loss():
    experts, label_ids, owners = made([2.0, 1.0])
    a, b = fit_expert_powers(experts, label_ids, owners)
    assert a > b > 0
    least = loss((a, b), experts, label_ids)
    for da, db in [(0.1, 0), (-0.1, 0), (0, 0.1), (0, -0.1), (0.1, -0.1), (-0.1, 0.1)]:
        assert loss((a + da, b + db), experts, label_ids) > least


def test_too_certain_experts_count_less():
    experts, label_ids, owners = made([2.0, 1.0])
    certain = experts**3 / (experts**3).sum(-1, keepdims=True)
    powers = fit_expert_powers(experts, label_ids, owners)
    thirds = fit_expert_powers(certain, label_ids, owners)
    np.testing.assert_allclose(np.multiply(3, thirds), powers, rtol=0.02)


@pytest.mark.parametrize("seed", range(5))
def test_an_expert_that_knows_nothing_has_no_power(seed):
    experts, label_ids, owners = made([2.0, 0.0], documents=8, seed=seed)
    a, b = fit_expert_powers(experts, label_ids, owners)
    assert a > 0
    assert b == 0 or b < 0.15  # two standard errors away by chance, and then little


def test_an_expert_that_says_the_same_has_no_power():
    (expert,), label_ids, owners = made([2.0])
    _, b = fit_expert_powers([expert, expert], label_ids, owners)
    assert b == 0


def test_experts_that_are_always_right_have_finite_powers():
    label_ids, owners = np.arange(6) % 2, np.arange(6)
    sure = np.eye(2)[label_ids]
    powers = fit_expert_powers([sure, sure], label_ids, owners)
    assert np.all(np.isfinite(powers))


def test_powers_of_two_labels_are_those_of_two_classes():
    experts, label_ids, owners = made([2.0, 1.0], classes=2)
    targets = np.eye(2)[label_ids]
    [powers] = fit_experts("multi_label", experts, targets, owners)
    expected = fit_expert_powers(experts, label_ids, owners)
    np.testing.assert_allclose(powers, expected, rtol=1e-3)


def test_weights_of_a_sum_are_those_of_least_squares():
    random = np.random.default_rng(0)
    truth = random.normal(1900, 30, (200, 1))
    numbers = truth + random.normal(0, [[[20.0]], [[10.0]]], (2, 200, 1))
    powers, center = fit_experts("regression", numbers, truth, np.arange(200))
    x, y = (numbers[..., 0] - truth.mean()).T, truth[:, 0] - truth.mean()
    expected, *_ = np.linalg.lstsq(x, y, rcond=None)
    np.testing.assert_allclose(powers, expected, rtol=0.01)
    assert center == truth.mean()

    useless = random.normal(1900, 30, (200, 1))
    powers, _ = fit_experts(
        "regression", [numbers[1], useless], truth, np.arange(200) // 20
    )
    assert powers[0] > 0.8
    assert abs(powers[1]) < 0.1
