"""The check of an answer and of its gradient: quadratic attention in float64."""

import numpy as np

from benchmarks.attention.peers.peer import HEADS, softmax_weights

STEP = 1e-5
CHECKED_HEADS = (0, HEADS - 1)


def check(peer, results, arrays, rows):
    """Compares some rows of a peer's output, and gradients of them, with the formula.

    A gradient is compared along a random direction, with the reference's central
    difference: where the peer's gradient is wrong by a part ε of its norm, the two
    differ by about ε times that norm.

    Args:
        peer: A `Peer`.
        results: The arrays (output,), or (output, gradients of query, key and value).
        arrays: The arrays query, key, value and output gradient, the last of which is
            zero but in the given rows of the checked heads.
        rows: Positions to check.

    Returns:
        Dictionary from what was checked to (error, tolerance).
    """
    *inputs, output_gradient = (x[0].astype(np.float64) for x in arrays)
    expected = attend(peer, inputs, rows, at=inputs)
    got = results[0][0][rows][:, CHECKED_HEADS]
    error = np.abs(got - expected).max() / np.abs(expected).max()
    errors = {"output": (float(error), peer.tolerance)}
    wanted = output_gradient[rows][:, CHECKED_HEADS]
    generator = np.random.default_rng(2)
    names = ("query", "key", "value")
    for index, gradient in enumerate(results[1:]):
        direction = generator.standard_normal(inputs[index].shape)
        sums = []
        for step in (STEP, -STEP):
            moved = list(inputs)
            moved[index] = inputs[index] + step * direction
            sums.append(np.sum(wanted * attend(peer, moved, rows, at=inputs)))
        slope = (sums[0] - sums[1]) / (2 * STEP)
        gradient = gradient[0].astype(np.float64)
        error = abs(np.sum(gradient * direction) - slope) / np.linalg.norm(gradient)
        name = f"gradient of {names[index]}"
        errors[name] = (float(error), peer.gradient_tolerance)
    return errors


def attend(peer, inputs, rows, at):
    """Rows of attention in the checked heads, in float64.

    Args:
        peer: A `Peer`, of which the weights and the form are used.
        inputs: float64 arrays query, key and value of shape (T, H, D).
        rows: R positions.
        at: Inputs that give what the peer takes for constants.

    Returns:
        Array of shape (R, 2, D).
    """
    query, key, value = inputs
    at = inputs if peer.differentiates_constants else at
    visible = visible_keys(peer.form, rows, len(key))
    outputs = []
    for head in CHECKED_HEADS:
        chosen = query[rows, head]
        constants = peer.constants(*at[:2], rows, head)
        weights = peer.weights(chosen, key[:, head], constants) * visible
        denominator = weights.sum(-1) + peer.denominator_bias(chosen, constants)
        outputs.append(weights @ value[:, head] / denominator[:, None])
    return np.stack(outputs, axis=1)


def visible_keys(form, rows, length):
    """Which keys some rows attend to: a boolean array of shape (R, T)."""
    last = np.asarray(rows) if form == "causal" else np.full(len(rows), length)
    return np.arange(length) <= last[:, None]


def exact_and_uniform(form, arrays, rows):
    """Rows of softmax attention, and of attention to all keys alike, in float64.

    Args:
        form: `"bidirectional"` or `"causal"`.
        arrays: The arrays query, key and value of shape (1, T, H, D).
        rows: R positions.

    Returns:
        Two arrays of shape (R, H, D).
    """
    query, key, value = (x[0].astype(np.float64) for x in arrays)
    visible = visible_keys(form, rows, len(key))
    exact, uniform = [], []
    for head in range(HEADS):
        weights = softmax_weights(query[rows, head], key[:, head])
        for outputs, unscaled in ((exact, weights * visible), (uniform, 1.0 * visible)):
            means = unscaled / unscaled.sum(-1, keepdims=True)
            outputs.append(means @ value[:, head])
    return np.stack(exact, axis=1), np.stack(uniform, axis=1)


def distance(rows, exact):
    """Root mean square over rows and heads of each one's relative error.

    Each row and head is taken relative to its own norm: causally the first ones, means
    of few values, are much larger than the others.

    Args:
        rows: Array of shape (R, H, D).
        exact: What it should be.
    """
    errors, norms = (np.linalg.norm(x, axis=-1) for x in (rows - exact, exact))
    return float(np.sqrt(np.mean(np.square(errors / norms))))
