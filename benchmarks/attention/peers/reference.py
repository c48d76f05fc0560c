"""The check of an answer and of its gradient: quadratic attention in float64."""

import numpy as np

from benchmarks.attention.peers.peer import HEADS

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
    outputs = []
    for head in CHECKED_HEADS:
        chosen = query[rows, head]
        constants = peer.constants(at[0][rows, head], at[1][:, head])
        weights = peer.weights(chosen, key[:, head], constants)  # (R, T)
        if peer.form == "causal":
            weights = weights * (np.arange(len(key)) <= np.asarray(rows)[:, None])
        denominator = weights.sum(-1) + peer.denominator_bias(chosen, constants)
        outputs.append(weights @ value[:, head] / denominator[:, None])
    return np.stack(outputs, axis=1)
