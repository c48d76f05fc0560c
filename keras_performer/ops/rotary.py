"""Rotary position embedding: positions as rotations of queries and keys."""

import numpy as np
from keras import ops

from keras_performer.ops.accumulation import to_accumulation_dtype

# Positions are counted in blocks, so that angles keep their digits far into a stream.
_BLOCK = 4096


def rotary(x, positions, base=10_000.0):
    """Rotates pairs of components by angles proportional to the position.

    Components d and d + D/2 are the coordinates of a plane, which is turned by
    `position · base^(−2d/D)`: section 3.4 of RoFormer, arXiv 2104.09864, in the half
    layout of `keras_hub.layers.RotaryEmbedding`. The product of a rotated query with a
    rotated key depends on the distance of their positions alone. Norms stay as they
    are, so what is known of the features of x holds for those of the result.

    Angles are exact to 5e-4 of a radian in the first million positions and to 2e-3 in
    the first sixteen; a product in float32 would be off by 0.03 and by half a radian.

    Args:
        x: Tensor of shape (B, T, H, D), D even.
        positions: Integer tensor of shape (T,) or (B, T), or one that broadcasts.
        base: The largest wavelength is `2π · base^((D − 2) / D)` positions; the least
            is 2π.

    Returns:
        Tensor of the shape and dtype of x.

    Raises:
        ValueError: If D is odd or `base` is not above 1.

    Example:

    >>> x = np.ones((1, 3, 1, 2), "float32")
    >>> y = rotary(x, np.arange(3))
    >>> [[round(float(c), 3) for c in v] for v in y[0, :, 0]]
    [[1.0, 1.0], [-0.301, 1.382], [-1.325, 0.493]]
    """
    x = ops.convert_to_tensor(x)
    dim = x.shape[-1]
    if dim % 2:
        raise ValueError(
            "Rotary positions need an even head dimension: components turn in pairs. "
            f"Received: x.shape={tuple(x.shape)}"
        )
    if not base > 1:
        raise ValueError(f"`base` must be above 1. Received: base={base}")
    angles = _angles(ops.convert_to_tensor(positions), dim, base)
    wider = to_accumulation_dtype(x)
    cosines, sines = (ops.cast(f(angles), wider.dtype) for f in (ops.cos, ops.sin))
    first, second = ops.split(wider, 2, axis=-1)
    turned = [first * cosines - second * sines, second * cosines + first * sines]
    return ops.cast(ops.concatenate(turned, axis=-1), x.dtype)


def _angles(positions, dim, base):
    """Angles of shape (..., T, 1, D/2), float32, without whole turns of the blocks."""
    frequencies = base ** (-np.arange(0, dim, 2) / dim)
    of_block = np.remainder(_BLOCK * frequencies, 2 * np.pi)
    positions = ops.expand_dims(ops.cast(positions, "int32"), (-2, -1))
    block = ops.cast(positions // _BLOCK, "float32")
    within = ops.cast(positions % _BLOCK, "float32")
    of_block, frequencies = (
        ops.convert_to_tensor(x, dtype="float32") for x in (of_block, frequencies)
    )
    return block * of_block + within * frequencies
