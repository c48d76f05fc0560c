"""The forget gate of attention: how long its heads remember at the start."""

import numpy as np
from keras import initializers


def memories(heads):
    """Initializer of a forget gate's biases, from short memories to long ones.

    A head of bias b forgets σ(−b) of its sums at each position: they last for about 8
    positions at 2, for 400 at 6.

    Args:
        heads: Hk.

    Returns:
        Initializer of a tensor of shape (Hk,).

    Example:

    >>> memories(3)((3,)).numpy().tolist()
    [2.0, 4.0, 6.0]
    """
    biases = np.linspace(2, 6, heads) if heads > 1 else [4.0]
    return initializers.Constant(list(map(float, biases)))
