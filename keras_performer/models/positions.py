"""Positions of a model by name: the layer that adds them, the base that rotates."""

from keras_performer.layers import SinePositionEncoding
from keras_performer.layers.position_embedding import PositionEmbedding

NAMES = ("sinusoidal", "rotary", "learned")


def position_layer(
    positions, max_wavelength, max_sequence_length, stddev, seed, dtype, name
):
    """The layer that adds positions to embedded tokens.

    Args:
        positions: One of `NAMES`.
        max_wavelength: As for `SinePositionEncoding`.
        max_sequence_length: As for `PositionEmbedding`; `None` for other positions.
        stddev: The size of the embeddings that positions are added to.
        seed: Integer that seeds what is learned, or `None`.
        dtype: Dtype or dtype policy.
        name: The layer's name.

    Returns:
        A `keras.layers.Layer`, or `None` where attention rotates by positions.

    Raises:
        ValueError: If the name is unknown, or `max_sequence_length` does not go with
            it.
    """
    if positions not in NAMES:
        raise ValueError(
            f"`positions` must be one of {NAMES}. Received: positions={positions!r}"
        )
    if (max_sequence_length is not None) != (positions == "learned"):
        raise ValueError(
            "`max_sequence_length` is for `positions='learned'`, which need it; other "
            "positions have no longest sequence. Received: positions="
            f"{positions!r}, max_sequence_length={max_sequence_length}"
        )
    if positions == "learned":
        return PositionEmbedding(
            max_sequence_length, stddev=stddev, seed=seed, dtype=dtype, name=name
        )
    if positions == "sinusoidal":
        return SinePositionEncoding(
            max_wavelength, scale=stddev, dtype=dtype, name=name
        )
    return None


def rotary_base(positions, max_wavelength):
    """The `rotary_base` of attention layers, `None` where they do not rotate."""
    return max_wavelength if positions == "rotary" else None
